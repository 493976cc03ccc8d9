// One model: its shape, and its weights, packed once for the kernels.
#pragma once
#include <vector>

#include "engine/packing.h"
#include "engine/workspace.h"

namespace hat {

// An attention, which a layer without heads lacks.
struct AttentionShape {
  int heads, qkv_dim;  // qkv_dim: the width of all heads together

  bool present() const { return heads > 0; }
};

// A layer without ffn_dim lacks the feed-forward part. It runs `passes` times, one after another.
struct EncoderShape {
  int ffn_dim;
  AttentionShape attention;
  int passes = 1;
};

struct DecoderShape {
  int ffn_dim;
  AttentionShape attention, cross;
  int encoder_layers_attended;  // n: cross-attention reads the last n encoder layers
  int passes = 1;
};

// As hat.architecture.ModelConfig in Python.
struct ModelConfig {
  Precision precision, embedding_precision;  // of the layers' matrices; of the embeddings and the output projection
  int encoder_dim, decoder_dim;
  int encoder_super_dim, decoder_super_dim;  // widths of the SuperTransformer, which the positions depend on
  int source_vocab, target_vocab;
  bool shared_embeddings, pre_norm;
  std::vector<EncoderShape> encoder;
  std::vector<DecoderShape> decoder;
  int embedding_rank = 0;  // columns of the embeddings, which factors lead to a side's width; 0: there are no factors

  // Throws std::invalid_argument where these numbers do not describe a model.
  void check() const;
};

// The norm of a branch of the residual stream, and that of the branch which comes next, where pre-norm models prepare
// the row for it; after the last branch that of the decoder, or of the encoder after the last one of each layer.
struct BranchNorm {
  Norm norm, next;
};

// Only the branches that the shape has are filled in.
struct EncoderLayer {
  EncoderShape shape;
  Matrix qkv, out, fc1, fc2;
  BranchNorm attention_norm, ffn_norm;
  Norm first_norm;  // of the layer's first branch; of the encoder where it has none
};

struct DecoderLayer {
  DecoderShape shape;
  Matrix cross_kv;  // multiplied once a sentence; the others one after another at every step
  Matrix qkv, out, cross_q, cross_out, fc1, fc2;
  BranchNorm attention_norm, cross_norm, ffn_norm;
  Norm first_norm;  // of the layer's first branch, or of a later layer's where it has none
};

class Model {
 public:
  // Reads and packs every weight. Throws std::invalid_argument, std::bad_alloc, or what `source` throws.
  Model(const ModelConfig& config, const Kernels& kernels, const WeightSource& source);

  const ModelConfig config;
  const Kernels& kernels;
  Matrix source_embedding, target_embedding, output;
  Matrix source_factor{}, target_factor{}, output_factor{};  // of models with an embedding_rank
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  Norm encoder_norm{}, decoder_norm{};  // after the last layer; pre-norm models only
  Norm first_decoder_norm{};            // of the decoder's first branch
  size_t packed_bytes = 0;

 private:
  void lay_out(Packer& packer);
  void link_norms();

  Buffer<std::byte> memory_;
};

}  // namespace hat
