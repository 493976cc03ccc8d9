#include "engine/model.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace hat {
namespace {

constexpr int kMaxDim = 1 << 20, kMaxVocab = 1 << 26, kMaxLayers = 1000;
constexpr size_t kHugePage = size_t{1} << 21;

void check_range(const char* name, int value, int least, int most) {
  if (value < least || value > most)
    throw std::invalid_argument(std::string(name) + ": " + std::to_string(value) + " is not between " +
                                std::to_string(least) + " and " + std::to_string(most));
}

// Throws std::invalid_argument where a product at `precision` has too many inputs.
void check_width(const char* name, int width, Precision precision) {
  check_range(name, width, 1, kMaxDim);
  if (multiplies_in_int8(precision) && width > kMaxInt8Inputs)
    throw std::invalid_argument(std::string(name) + ": " + std::to_string(width) + " is more than " +
                                std::to_string(kMaxInt8Inputs) +
                                ", the most without overflow in int8 products; use float32 or bfloat16");
}

void check_heads(const char* name, int heads, int qkv_dim) {
  check_range(name, heads, 1, qkv_dim);
  if (qkv_dim % heads) throw std::invalid_argument(std::string(name) + " do not divide qkv_dim");
}

EncoderLayer encoder_layer(Packer& packer, const std::string& name, const ModelConfig& c, const EncoderShape& shape) {
  return {shape,
          packer.linear(name + ".self_attention.qkv", 3 * c.qkv_dim, c.encoder_dim),
          packer.linear(name + ".self_attention.out", c.encoder_dim, c.qkv_dim),
          packer.linear(name + ".fc1", shape.ffn_dim, c.encoder_dim),
          packer.linear(name + ".fc2", c.encoder_dim, shape.ffn_dim),
          packer.norm(name + ".self_attention_norm", c.encoder_dim),
          packer.norm(name + ".ffn_norm", c.encoder_dim)};
}

DecoderLayer decoder_layer(Packer& packer, const std::string& name, const ModelConfig& c, const DecoderShape& shape) {
  return {shape,
          packer.linear(name + ".cross_attention.kv", 2 * c.qkv_dim, c.encoder_dim),
          packer.linear(name + ".self_attention.qkv", 3 * c.qkv_dim, c.decoder_dim),
          packer.linear(name + ".self_attention.out", c.decoder_dim, c.qkv_dim),
          packer.linear(name + ".cross_attention.q", c.qkv_dim, c.decoder_dim),
          packer.linear(name + ".cross_attention.out", c.decoder_dim, c.qkv_dim),
          packer.linear(name + ".fc1", shape.ffn_dim, c.decoder_dim),
          packer.linear(name + ".fc2", c.decoder_dim, shape.ffn_dim),
          packer.norm(name + ".self_attention_norm", c.decoder_dim),
          packer.norm(name + ".cross_attention_norm", c.decoder_dim),
          packer.norm(name + ".ffn_norm", c.decoder_dim)};
}

}  // namespace

void ModelConfig::check() const {
  if (precision != embedding_precision && !(multiplies_in_int8(precision) && multiplies_in_int8(embedding_precision)))
    throw std::invalid_argument("embedding_precision must equal precision, unless both are int8 or table");
  check_width("qkv_dim", qkv_dim, precision);
  check_width("encoder embed_dim", encoder_dim, precision);
  check_width("decoder embed_dim", decoder_dim, precision);
  check_range("encoder_super_dim", encoder_super_dim, encoder_dim, kMaxDim);
  check_range("decoder_super_dim", decoder_super_dim, decoder_dim, kMaxDim);
  check_range("source_vocab", source_vocab, 4, kMaxVocab);
  check_range("target_vocab", target_vocab, 4, kMaxVocab);
  if (shared_embeddings && source_vocab != target_vocab)
    throw std::invalid_argument("shared embeddings need one vocabulary for both sides");
  check_range("encoder layers", static_cast<int>(encoder.size()), 1, kMaxLayers);
  check_range("decoder layers", static_cast<int>(decoder.size()), 1, kMaxLayers);
  for (const EncoderShape& layer : encoder) {
    check_width("encoder ffn_dim", layer.ffn_dim, precision);
    check_heads("encoder heads", layer.heads, qkv_dim);
  }
  for (const DecoderShape& layer : decoder) {
    check_width("decoder ffn_dim", layer.ffn_dim, precision);
    check_heads("decoder self_heads", layer.self_heads, qkv_dim);
    check_heads("decoder cross_heads", layer.cross_heads, qkv_dim);
    check_range("encoder_layers_attended", layer.encoder_layers_attended, 1, static_cast<int>(encoder.size()));
  }
}

// The decoder's layers and the output projection come last: every step reads them again.
void Model::lay_out(Packer& packer) {
  const ModelConfig& c = config;
  encoder.clear();
  decoder.clear();
  for (const EncoderShape& shape : c.encoder)
    encoder.push_back(encoder_layer(packer, "encoder." + std::to_string(encoder.size()), c, shape));
  if (c.pre_norm) encoder_norm = packer.norm("encoder_norm", c.encoder_dim);
  for (const DecoderShape& shape : c.decoder)
    decoder.push_back(decoder_layer(packer, "decoder." + std::to_string(decoder.size()), c, shape));
  if (c.pre_norm) decoder_norm = packer.norm("decoder_norm", c.decoder_dim);
  const auto embedding = [&](const char* name, int tokens, int dim) {
    return packer.matrix(c.embedding_precision, name, tokens, dim);
  };
  if (c.shared_embeddings) {
    output = embedding("embedding", c.target_vocab, std::max(c.encoder_dim, c.decoder_dim));
    source_embedding = target_embedding = output;
  } else {
    source_embedding = embedding("source_embedding", c.source_vocab, c.encoder_dim);
    target_embedding = embedding("target_embedding", c.target_vocab, c.decoder_dim);
    output = embedding("output_embedding", c.target_vocab, c.decoder_dim);
  }
  output.inputs = c.decoder_dim;
}

Model::Model(const ModelConfig& config_, const Kernels& kernels_, const WeightSource& source)
    : config(config_), kernels(kernels_) {
  config.check();
  const bool tables = config.precision == Precision::table || config.embedding_precision == Precision::table;
  if (tables && !kernels.has_tables)
    throw std::invalid_argument(std::string(kernels.name) + " kernels do not multiply at precision table");
  Packer packer(config.precision, kernels.unsigned_weights);
  lay_out(packer);
  packed_bytes = packer.bytes();
  memory_.grow(packed_bytes, kHugePage);
#if defined(__linux__)
  // A step reads all of it: huge pages save most misses of address translation.
  if (packed_bytes > 3 * kHugePage) madvise(memory_.get(), packed_bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  packer.fill(memory_.get(), source);
  lay_out(packer);
}

}  // namespace hat
