#include "engine/model.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace hat {
namespace {

constexpr size_t kHugePage = size_t{1} << 21;
constexpr size_t kLine = 64;
constexpr int kLargestDim = 1 << 20, kLargestVocab = 1 << 26;

size_t padded(size_t count, size_t step) { return (count + step - 1) / step * step; }

// Where the code of one weight lies in a packed matrix.
struct CodePlace {
  size_t byte;
  int shift;
};

CodePlace place_of_code(const Matrix& matrix, int output, int input) {
  const size_t block = static_cast<size_t>(output / kBlock) * kBlock * matrix.stored_groups * kGroupBytes;
  const size_t group = static_cast<size_t>(input / 8) * kBlock * kGroupBytes;
  return {block + group + output % kBlock * kGroupBytes + input % 4, input % 8 / 4 * 4};
}

// Walks over all weights twice: first to add up their packed sizes, then to fill the memory.
class Packer {
 public:
  explicit Packer(bool unsigned_weights) : flip_(unsigned_weights ? 0x80 : 0) {}

  size_t used() const { return used_; }
  void fill(std::byte* memory, const WeightSource& source) {
    memory_ = memory;
    source_ = &source;
    used_ = 0;
  }

  // A layer's weight, with its bias.
  Matrix linear(Precision precision, const std::string& name, int outputs, int inputs) {
    Matrix found = matrix(precision, name + ".weight", outputs, inputs);
    found.bias = vector(name + ".bias", outputs);
    return found;
  }

  Matrix matrix(Precision precision, const std::string& name, int outputs, int inputs) {
    const int group = group_of(precision);
    Matrix matrix{precision, outputs, inputs, (inputs + group - 1) / group, nullptr, nullptr, nullptr, nullptr};
    const size_t rows = padded(outputs, kBlock);
    std::byte* data = take(rows * matrix.stored_groups * kGroupBytes);
    matrix.data = data;
    if (in_int8(precision)) matrix.scales = vector(name + ".scale", outputs);
    if (precision == Precision::table) matrix.tables = tables(name + ".table", blocks_of(matrix));
    if (memory_) pack(name, matrix, data);
    return matrix;
  }

  const float* vector(const std::string& name, int size) {
    const size_t bytes = padded(size, kBlock) * sizeof(float);
    std::byte* data = take(bytes);
    if (memory_) {
      std::memset(data, 0, bytes);
      std::memcpy(data, (*source_)(name, Element::float32, size), size * sizeof(float));
    }
    return reinterpret_cast<const float*>(data);
  }

  Norm norm(const std::string& name, int dim) {
    const float* gain = vector(name + ".weight", dim);
    return {gain, vector(name + ".bias", dim)};
  }

 private:
  std::byte* take(size_t bytes) {
    std::byte* place = memory_ ? memory_ + used_ : nullptr;
    used_ += padded(bytes, kLine);
    return place;
  }

  const int8_t* tables(const std::string& name, int blocks) {
    const size_t count = static_cast<size_t>(blocks) * kTable;
    std::byte* data = take(count);
    if (memory_) {
      const std::byte* values = static_cast<const std::byte*>((*source_)(name, Element::int8, count));
      for (size_t i = 0; i < count; ++i) data[i] = values[i] ^ std::byte(flip_);
    }
    return reinterpret_cast<const int8_t*>(data);
  }

  void pack(const std::string& name, const Matrix& matrix, std::byte* data) {
    const size_t count = static_cast<size_t>(matrix.outputs) * matrix.inputs;
    switch (matrix.precision) {
      case Precision::float32:
        return pack(static_cast<const uint32_t*>((*source_)(name, Element::float32, count)), matrix,
                    reinterpret_cast<uint32_t*>(data), 0);
      case Precision::bfloat16:
        return pack(static_cast<const uint16_t*>((*source_)(name, Element::bfloat16, count)), matrix,
                    reinterpret_cast<uint16_t*>(data), 0);
      case Precision::int8:
        return pack(static_cast<const uint8_t*>((*source_)(name, Element::int8, count)), matrix,
                    reinterpret_cast<uint8_t*>(data), flip_);
      case Precision::table:
        return pack_codes(static_cast<const uint8_t*>((*source_)(name, Element::code, count)), matrix,
                          reinterpret_cast<uint8_t*>(data));
    }
  }

  template <class T>
  void pack(const T* source, const Matrix& matrix, T* data, int flip) {
    const int group = group_of(matrix.precision);
    const size_t rows = padded(matrix.outputs, kBlock), row_size = static_cast<size_t>(matrix.stored_groups) * group;
    for (size_t output = 0; output < rows; ++output) {
      T* lane = data + output / kBlock * kBlock * row_size + output % kBlock * group;
      const T* row = source + output * matrix.inputs;
      for (size_t k = 0; k < row_size; ++k) {
        const bool real = output < static_cast<size_t>(matrix.outputs) && k < static_cast<size_t>(matrix.inputs);
        lane[k / group * group * kBlock + k % group] = static_cast<T>((real ? row[k] : 0) ^ flip);
      }
    }
  }

  void pack_codes(const uint8_t* source, const Matrix& matrix, uint8_t* data) {
    std::memset(data, 0, padded(matrix.outputs, kBlock) * matrix.stored_groups * kGroupBytes);
    for (int output = 0; output < matrix.outputs; ++output) {
      const uint8_t* row = source + static_cast<size_t>(output) * matrix.inputs;
      for (int k = 0; k < matrix.inputs; ++k) {
        const CodePlace place = place_of_code(matrix, output, k);
        data[place.byte] |= static_cast<uint8_t>((row[k] & 15) << place.shift);
      }
    }
  }

  int flip_;
  std::byte* memory_ = nullptr;
  const WeightSource* source_ = nullptr;
  size_t used_ = 0;
};

void take_all(Packer& packer, Model& model) {
  const Config& c = model.config;
  const auto linear = [&](const std::string& name, int outputs, int inputs) {
    return packer.linear(c.precision, name, outputs, inputs);
  };
  const auto embedding = [&](const std::string& name, int words, int dim) {
    return packer.matrix(c.embedding_precision, name, words, dim);
  };
  model.encoder.clear();
  model.decoder.clear();
  // The decoder's weights come last: they are read again at every step.
  for (size_t i = 0; i < c.encoder.size(); ++i) {
    const std::string name = "encoder." + std::to_string(i);
    const EncoderShape shape = c.encoder[i];
    model.encoder.push_back({shape, linear(name + ".self_attention.qkv", 3 * c.qkv_dim, c.encoder_dim),
                             linear(name + ".self_attention.out", c.encoder_dim, c.qkv_dim),
                             linear(name + ".fc1", shape.ffn_dim, c.encoder_dim),
                             linear(name + ".fc2", c.encoder_dim, shape.ffn_dim),
                             packer.norm(name + ".self_attention_norm", c.encoder_dim),
                             packer.norm(name + ".ffn_norm", c.encoder_dim)});
  }
  if (c.pre_norm) model.encoder_norm = packer.norm("encoder_norm", c.encoder_dim);
  for (size_t i = 0; i < c.decoder.size(); ++i) {
    const std::string name = "decoder." + std::to_string(i);
    const DecoderShape shape = c.decoder[i];
    model.decoder.push_back({shape, linear(name + ".cross_attention.kv", 2 * c.qkv_dim, c.encoder_dim),
                             linear(name + ".self_attention.qkv", 3 * c.qkv_dim, c.decoder_dim),
                             linear(name + ".self_attention.out", c.decoder_dim, c.qkv_dim),
                             linear(name + ".cross_attention.q", c.qkv_dim, c.decoder_dim),
                             linear(name + ".cross_attention.out", c.decoder_dim, c.qkv_dim),
                             linear(name + ".fc1", shape.ffn_dim, c.decoder_dim),
                             linear(name + ".fc2", c.decoder_dim, shape.ffn_dim),
                             packer.norm(name + ".self_attention_norm", c.decoder_dim),
                             packer.norm(name + ".cross_attention_norm", c.decoder_dim),
                             packer.norm(name + ".ffn_norm", c.decoder_dim)});
  }
  if (c.pre_norm) model.decoder_norm = packer.norm("decoder_norm", c.decoder_dim);
  if (c.shared_embeddings) {
    const Matrix all = embedding("embedding", c.target_vocab, std::max(c.encoder_dim, c.decoder_dim));
    model.source_embedding = model.target_embedding = model.output = all;
  } else {
    model.source_embedding = embedding("source_embedding", c.source_vocab, c.encoder_dim);
    model.target_embedding = embedding("target_embedding", c.target_vocab, c.decoder_dim);
    model.output = embedding("output_embedding", c.target_vocab, c.decoder_dim);
  }
  model.output.inputs = c.decoder_dim;
}

void check_range(const char* what, int value, int least, int most) {
  if (value < least || value > most)
    throw std::invalid_argument(std::string(what) + ": " + std::to_string(value) + " is not between " +
                                std::to_string(least) + " and " + std::to_string(most));
}

// Throws std::invalid_argument where a product at `precision` has too many inputs.
void check_width(const char* what, int width, Precision precision) {
  check_range(what, width, 1, kLargestDim);
  if (in_int8(precision) && width > kMostInt8Inputs)
    throw std::invalid_argument(std::string(what) + ": " + std::to_string(width) + " is more than " +
                                std::to_string(kMostInt8Inputs) +
                                ", the most without overflow in int8 products; use float32 or bfloat16");
}

void check_heads(const char* what, int heads, int qkv_dim) {
  check_range(what, heads, 1, qkv_dim);
  if (qkv_dim % heads) throw std::invalid_argument(std::string(what) + " do not divide qkv_dim");
}

}  // namespace

void Config::check() const {
  if (precision != embedding_precision && !(in_int8(precision) && in_int8(embedding_precision)))
    throw std::invalid_argument("embeddings are multiplied by rows of another precision");
  check_width("qkv_dim", qkv_dim, precision);
  check_width("encoder embed_dim", encoder_dim, precision);
  check_width("decoder embed_dim", decoder_dim, precision);
  check_range("encoder_super_dim", encoder_super_dim, encoder_dim, kLargestDim);
  check_range("decoder_super_dim", decoder_super_dim, decoder_dim, kLargestDim);
  check_range("source_vocab", source_vocab, 4, kLargestVocab);
  check_range("target_vocab", target_vocab, 4, kLargestVocab);
  if (shared_embeddings && source_vocab != target_vocab)
    throw std::invalid_argument("shared embeddings need one vocabulary for both sides");
  check_range("encoder layers", static_cast<int>(encoder.size()), 1, 1000);
  check_range("decoder layers", static_cast<int>(decoder.size()), 1, 1000);
  for (const EncoderShape& layer : encoder) {
    check_width("encoder ffn_dim", layer.ffn_dim, precision);
    check_heads("encoder heads", layer.heads, qkv_dim);
  }
  for (const DecoderShape& layer : decoder) {
    check_width("decoder ffn_dim", layer.ffn_dim, precision);
    check_heads("decoder self_heads", layer.self_heads, qkv_dim);
    check_heads("decoder cross_heads", layer.cross_heads, qkv_dim);
    check_range("encoder_layers_attended", layer.attended, 1, static_cast<int>(encoder.size()));
  }
}

Model::Model(const Config& config_, const Kernels& kernels_, const WeightSource& source)
    : config(config_), kernels(kernels_) {
  config.check();
  const bool tables = config.precision == Precision::table || config.embedding_precision == Precision::table;
  if (tables && !kernels.looks_up)
    throw std::invalid_argument(std::string(kernels.name) + " kernels do not look weights up");
  Packer packer(kernels.unsigned_weights);
  take_all(packer, *this);
  packed_bytes = packer.used();
  const size_t allocated = padded(packed_bytes, kHugePage);
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, allocated)));
  if (!memory_) throw std::bad_alloc();
#if defined(__linux__)
  // Every step streams through all of it: huge pages spare the address translation most of its misses.
  if (allocated >= 4 * kHugePage) madvise(memory_.get(), packed_bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  packer.fill(memory_.get(), source);
  take_all(packer, *this);
}

void Model::embed(const Matrix& embedding, int id, int dim, float scale, float* out) const {
  const int group = group_of(embedding.precision), flip = kernels.unsigned_weights ? 0x80 : 0;
  const auto value_of = [flip](int packed) { return static_cast<int8_t>(packed ^ flip); };
  const size_t lane = static_cast<size_t>(id / kBlock) * kBlock * embedding.stored_groups * group +
                      static_cast<size_t>(id % kBlock) * group;
  const auto at = [&](int k) { return lane + static_cast<size_t>(k / group) * group * kBlock + k % group; };
  switch (embedding.precision) {
    case Precision::float32: {
      const float* data = static_cast<const float*>(embedding.data);
      for (int k = 0; k < dim; ++k) out[k] = scale * data[at(k)];
      return;
    }
    case Precision::bfloat16: {
      const uint16_t* data = static_cast<const uint16_t*>(embedding.data);
      for (int k = 0; k < dim; ++k) {
        const uint32_t bits = static_cast<uint32_t>(data[at(k)]) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        out[k] = scale * value;
      }
      return;
    }
    case Precision::table: {
      const uint8_t* data = static_cast<const uint8_t*>(embedding.data);
      const int8_t* table = embedding.tables + id / kBlock * kTable;
      const float row_scale = scale * embedding.scales[id];
      for (int k = 0; k < dim; ++k) {
        const CodePlace place = place_of_code(embedding, id, k);
        out[k] = row_scale * static_cast<float>(value_of(table[data[place.byte] >> place.shift & 15]));
      }
      return;
    }
    case Precision::int8: {
      const uint8_t* data = static_cast<const uint8_t*>(embedding.data);
      const float row_scale = scale * embedding.scales[id];
      for (int k = 0; k < dim; ++k) out[k] = row_scale * static_cast<float>(value_of(data[at(k)]));
      return;
    }
  }
}

}  // namespace hat
