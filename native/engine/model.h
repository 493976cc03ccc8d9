// One model's weights, packed once for the kernels.
#pragma once
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace hat {

struct EncoderShape {
  int ffn_dim, heads;
};

struct DecoderShape {
  int ffn_dim, self_heads, cross_heads, attended;  // attended: the last n encoder layers
};

// An architecture and what surrounds it, as hat.architecture.ModelConfig in Python.
struct Config {
  Precision precision, embedding_precision;  // of the layers' matrices; of embeddings and output projection
  int qkv_dim, encoder_dim, decoder_dim, encoder_super_dim, decoder_super_dim;
  int source_vocab, target_vocab;
  bool shared_embeddings, pre_norm;
  std::vector<EncoderShape> encoder;
  std::vector<DecoderShape> decoder;

  // Throws std::invalid_argument where the numbers cannot be a model.
  void check() const;
};

enum class Element { float32, bfloat16, int8, code };  // code: four bits in a byte

// Where weights come from: the elements of the tensor `name`, exactly `count` of them, valid until the
// next call. Throws where there is no such tensor.
using WeightSource = std::function<const void*(const std::string& name, Element element, size_t count)>;

struct Norm {
  const float *gain, *bias;
};

struct EncoderLayer {
  EncoderShape shape;
  Matrix qkv, out, fc1, fc2;
  Norm attention_norm, ffn_norm;
};

struct DecoderLayer {
  DecoderShape shape;
  Matrix cross_kv;  // once a decode; the others are read one after another at every step
  Matrix qkv, out, cross_q, cross_out, fc1, fc2;
  Norm attention_norm, cross_norm, ffn_norm;
};

class Model {
 public:
  // Reads and packs every weight. Throws std::invalid_argument, std::bad_alloc, or what `source` throws.
  Model(const Config& config, const Kernels& kernels, const WeightSource& source);

  // out = scale · the first `dim` entries of the embedding of `id`.
  void embed(const Matrix& embedding, int id, int dim, float scale, float* out) const;

  const Config config;
  const Kernels& kernels;
  Matrix source_embedding, target_embedding, output;
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  Norm encoder_norm{}, decoder_norm{};  // of what leaves either side; pre-norm models only
  size_t packed_bytes = 0;

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory_;
};

inline int blocks_of(const Matrix& matrix) { return (matrix.outputs + kBlock - 1) / kBlock; }

}  // namespace hat
