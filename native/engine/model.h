// One model: its shape, and its weights, packed once for the kernels.
#pragma once
#include <vector>

#include "engine/packing.h"
#include "engine/workspace.h"

namespace hat {

struct EncoderShape {
  int ffn_dim, heads;
};

struct DecoderShape {
  int ffn_dim, self_heads, cross_heads;
  int encoder_layers_attended;  // n: cross-attention reads the last n encoder layers
};

// As hat.architecture.ModelConfig in Python.
struct ModelConfig {
  Precision precision, embedding_precision;  // of the layers' matrices; of the embeddings and the output projection
  int qkv_dim, encoder_dim, decoder_dim;
  int encoder_super_dim, decoder_super_dim;  // widths of the SuperTransformer, which the positions depend on
  int source_vocab, target_vocab;
  bool shared_embeddings, pre_norm;
  std::vector<EncoderShape> encoder;
  std::vector<DecoderShape> decoder;

  // Throws std::invalid_argument where these numbers do not describe a model.
  void check() const;
};

struct EncoderLayer {
  EncoderShape shape;
  Matrix qkv, out, fc1, fc2;
  Norm attention_norm, ffn_norm;
};

struct DecoderLayer {
  DecoderShape shape;
  Matrix cross_kv;  // multiplied once a sentence; the others one after another at every step
  Matrix qkv, out, cross_q, cross_out, fc1, fc2;
  Norm attention_norm, cross_norm, ffn_norm;
};

class Model {
 public:
  // Reads and packs every weight. Throws std::invalid_argument, std::bad_alloc, or what `source` throws.
  Model(const ModelConfig& config, const Kernels& kernels, const WeightSource& source);

  const ModelConfig config;
  const Kernels& kernels;
  Matrix source_embedding, target_embedding, output;
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  Norm encoder_norm{}, decoder_norm{};  // after the last layer; pre-norm models only
  size_t packed_bytes = 0;

 private:
  void lay_out(Packer& packer);

  Buffer<std::byte> memory_;
};

}  // namespace hat
