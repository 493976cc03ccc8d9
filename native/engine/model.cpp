#include "engine/model.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace hat {
namespace {

constexpr int kMaxDim = 1 << 20, kMaxVocab = 1 << 26, kMaxLayers = 1000, kMaxPasses = 64;
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

// Throws std::invalid_argument where the heads, if any, do not divide the width.
void check_attention(const std::string& name, const AttentionShape& shape, Precision precision) {
  if (shape.heads == 0) return;
  check_width((name + "qkv_dim").c_str(), shape.qkv_dim, precision);
  check_range((name + "heads").c_str(), shape.heads, 1, shape.qkv_dim);
  if (shape.qkv_dim % shape.heads) throw std::invalid_argument(name + "heads do not divide qkv_dim");
}

void check_feed_forward(const char* name, int ffn_dim, Precision precision) {
  if (ffn_dim != 0) check_width(name, ffn_dim, precision);
}

void add_self_attention(Packer& packer, const std::string& name, int dim, const AttentionShape& shape, auto& layer) {
  if (!shape.present()) return;
  layer.qkv = packer.linear(name + ".self_attention.qkv", 3 * shape.qkv_dim, dim);
  layer.out = packer.linear(name + ".self_attention.out", dim, shape.qkv_dim);
  layer.attention_norm.norm = packer.norm(name + ".self_attention_norm", dim);
}

void add_feed_forward(Packer& packer, const std::string& name, int dim, auto& layer) {
  const int ffn_dim = layer.shape.ffn_dim;
  if (ffn_dim == 0) return;
  layer.fc1 = packer.linear(name + ".fc1", ffn_dim, dim);
  layer.fc2 = packer.linear(name + ".fc2", dim, ffn_dim);
  layer.ffn_norm.norm = packer.norm(name + ".ffn_norm", dim);
}

EncoderLayer encoder_layer(Packer& packer, const std::string& name, const ModelConfig& c, const EncoderShape& shape) {
  EncoderLayer layer{};
  layer.shape = shape;
  add_self_attention(packer, name, c.encoder_dim, shape.attention, layer);
  add_feed_forward(packer, name, c.encoder_dim, layer);
  return layer;
}

DecoderLayer decoder_layer(Packer& packer, const std::string& name, const ModelConfig& c, const DecoderShape& shape) {
  DecoderLayer layer{};
  layer.shape = shape;
  const int cross = shape.cross.qkv_dim;
  if (shape.cross.present()) layer.cross_kv = packer.linear(name + ".cross_attention.kv", 2 * cross, c.encoder_dim);
  add_self_attention(packer, name, c.decoder_dim, shape.attention, layer);
  if (shape.cross.present()) {
    layer.cross_q = packer.linear(name + ".cross_attention.q", cross, c.decoder_dim);
    layer.cross_out = packer.linear(name + ".cross_attention.out", c.decoder_dim, cross);
    layer.cross_norm.norm = packer.norm(name + ".cross_attention_norm", c.decoder_dim);
  }
  add_feed_forward(packer, name, c.decoder_dim, layer);
  return layer;
}

// `branch` is followed by one whose norm is `next`, unless the layer lacks it; it becomes the next of the one before.
void link(bool present, BranchNorm& branch, Norm& next) {
  if (!present) return;
  branch.next = next;
  next = branch.norm;
}

}  // namespace

void ModelConfig::check() const {
  if (precision != embedding_precision && !(multiplies_in_int8(precision) && multiplies_in_int8(embedding_precision)))
    throw std::invalid_argument("embedding_precision must equal precision, unless both are int8 or table");
  check_width("encoder embed_dim", encoder_dim, precision);
  check_width("decoder embed_dim", decoder_dim, precision);
  if (embedding_rank) check_width("embedding_rank", embedding_rank, precision);
  check_range("encoder_super_dim", encoder_super_dim, encoder_dim, kMaxDim);
  check_range("decoder_super_dim", decoder_super_dim, decoder_dim, kMaxDim);
  check_range("source_vocab", source_vocab, 4, kMaxVocab);
  check_range("target_vocab", target_vocab, 4, kMaxVocab);
  if (shared_embeddings && source_vocab != target_vocab)
    throw std::invalid_argument("shared embeddings need one vocabulary for both sides");
  check_range("encoder layers", static_cast<int>(encoder.size()), 1, kMaxLayers);
  check_range("decoder layers", static_cast<int>(decoder.size()), 1, kMaxLayers);
  for (const EncoderShape& layer : encoder) {
    check_feed_forward("encoder ffn_dim", layer.ffn_dim, precision);
    check_attention("encoder ", layer.attention, precision);
    check_range("encoder passes", layer.passes, 1, kMaxPasses);
  }
  for (const DecoderShape& layer : decoder) {
    check_feed_forward("decoder ffn_dim", layer.ffn_dim, precision);
    check_attention("decoder self_", layer.attention, precision);
    check_attention("decoder cross_", layer.cross, precision);
    check_range("decoder passes", layer.passes, 1, kMaxPasses);
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
    return packer.matrix(c.embedding_precision, name, tokens, c.embedding_rank ? c.embedding_rank : dim);
  };
  if (c.embedding_rank) {
    source_factor = packer.matrix(c.precision, "source_factor.weight", c.encoder_dim, c.embedding_rank);
    target_factor = packer.matrix(c.precision, "target_factor.weight", c.decoder_dim, c.embedding_rank);
    output_factor = packer.matrix(c.precision, "output_factor.weight", c.embedding_rank, c.decoder_dim);
  }
  if (c.shared_embeddings) {
    output = embedding("embedding", c.target_vocab, std::max(c.encoder_dim, c.decoder_dim));
    source_embedding = target_embedding = output;
  } else {
    source_embedding = embedding("source_embedding", c.source_vocab, c.encoder_dim);
    target_embedding = embedding("target_embedding", c.target_vocab, c.decoder_dim);
    output = embedding("output_embedding", c.target_vocab, c.decoder_dim);
  }
  output.inputs = c.embedding_rank ? c.embedding_rank : c.decoder_dim;
}

void Model::link_norms() {
  for (EncoderLayer& layer : encoder) {
    Norm next = encoder_norm;
    link(layer.shape.ffn_dim > 0, layer.ffn_norm, next);
    link(layer.shape.attention.present(), layer.attention_norm, next);
    layer.first_norm = next;
  }
  first_decoder_norm = decoder_norm;
  for (auto layer = decoder.rbegin(); layer != decoder.rend(); ++layer) {
    link(layer->shape.ffn_dim > 0, layer->ffn_norm, first_decoder_norm);
    link(layer->shape.cross.present(), layer->cross_norm, first_decoder_norm);
    link(layer->shape.attention.present(), layer->attention_norm, first_decoder_norm);
    layer->first_norm = first_decoder_norm;
  }
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
  link_norms();
}

}  // namespace hat
