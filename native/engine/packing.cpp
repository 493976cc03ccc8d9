#include "engine/packing.h"

#include <bit>
#include <cstring>

#include "engine/workspace.h"

namespace hat {
namespace {

size_t group_index(const Matrix& matrix, int output, int group) {
  return (static_cast<size_t>(output / kBlock) * matrix.stored_groups + group) * kBlock + output % kBlock;
}

// The place of a weight among the elements of a packed matrix.
template <class T>
size_t element_index(const Matrix& matrix, int output, int input) {
  constexpr int kGroup = kGroupBytes / sizeof(T);
  return group_index(matrix, output, input / kGroup) * kGroup + input % kGroup;
}

// The place of a weight's code in a packed matrix of codes.
struct CodePlace {
  size_t byte;
  int shift;
};

CodePlace code_place(const Matrix& matrix, int output, int input) {
  return {group_index(matrix, output, input / 8) * kGroupBytes + input % 4, input % 8 / 4 * 4};
}

// `flip` changes every element, those of the padding too.
template <class T>
void pack_elements(const Matrix& matrix, const void* tensor, int flip, std::byte* packed) {
  const T* elements = static_cast<const T*>(tensor);
  T* out = reinterpret_cast<T*>(packed);
  const int columns = matrix.stored_groups * static_cast<int>(kGroupBytes / sizeof(T));
  for (int output = 0; output < blocks_of(matrix) * kBlock; ++output)
    for (int input = 0; input < columns; ++input) {
      const bool real = output < matrix.outputs && input < matrix.inputs;
      const T value = real ? elements[static_cast<size_t>(output) * matrix.inputs + input] : T{0};
      out[element_index<T>(matrix, output, input)] = static_cast<T>(value ^ flip);
    }
}

void pack_codes(const Matrix& matrix, const void* tensor, std::byte* packed) {
  const uint8_t* codes = static_cast<const uint8_t*>(tensor);
  std::memset(packed, 0, blocks_of(matrix) * kBlock * matrix.stored_groups * kGroupBytes);
  for (int output = 0; output < matrix.outputs; ++output)
    for (int input = 0; input < matrix.inputs; ++input) {
      const CodePlace place = code_place(matrix, output, input);
      const int code = codes[static_cast<size_t>(output) * matrix.inputs + input] & 15;
      packed[place.byte] |= static_cast<std::byte>(code << place.shift);
    }
}

}  // namespace

void Packer::fill(std::byte* memory, const WeightSource& source) {
  memory_ = memory;
  source_ = &source;
  bytes_ = 0;
}

std::byte* Packer::allot(size_t bytes) {
  std::byte* place = memory_ ? memory_ + bytes_ : nullptr;
  bytes_ += round_up(bytes, kCacheLine);
  return place;
}

Matrix Packer::matrix(Precision precision, const std::string& name, int outputs, int inputs) {
  const int group = inputs_per_group(precision);
  Matrix matrix{precision, outputs, inputs, (inputs + group - 1) / group, nullptr, nullptr, nullptr, nullptr};
  const size_t rows = round_up(outputs, kBlock);
  std::byte* packed = allot(rows * matrix.stored_groups * kGroupBytes);
  matrix.data = packed;
  if (multiplies_in_int8(precision)) matrix.scales = vector(name + ".scale", outputs);
  if (precision == Precision::table) matrix.tables = tables(name + ".table", blocks_of(matrix));
  if (memory_) write(name, matrix, packed);
  return matrix;
}

Matrix Packer::linear(const std::string& name, int outputs, int inputs) {
  Matrix weights = matrix(linear_precision_, name + ".weight", outputs, inputs);
  weights.bias = vector(name + ".bias", outputs);
  return weights;
}

Norm Packer::norm(const std::string& name, int dim) {
  const float* gain = vector(name + ".weight", dim);
  return {gain, vector(name + ".bias", dim)};
}

const float* Packer::vector(const std::string& name, int size) {
  const size_t bytes = round_up(size, kBlock) * sizeof(float);
  std::byte* packed = allot(bytes);
  if (memory_) {
    std::memset(packed, 0, bytes);
    std::memcpy(packed, (*source_)(name, Precision::float32, size), size * sizeof(float));
  }
  return reinterpret_cast<const float*>(packed);
}

const int8_t* Packer::tables(const std::string& name, int blocks) {
  const size_t count = static_cast<size_t>(blocks) * kTableSize;
  std::byte* packed = allot(count);
  if (memory_) {
    const std::byte* values = static_cast<const std::byte*>((*source_)(name, Precision::int8, count));
    for (size_t i = 0; i < count; ++i) packed[i] = values[i] ^ std::byte(flip_);
  }
  return reinterpret_cast<const int8_t*>(packed);
}

void Packer::write(const std::string& name, const Matrix& matrix, std::byte* packed) const {
  const void* tensor = (*source_)(name, matrix.precision, static_cast<size_t>(matrix.outputs) * matrix.inputs);
  switch (matrix.precision) {
    case Precision::float32: return pack_elements<uint32_t>(matrix, tensor, 0, packed);
    case Precision::bfloat16: return pack_elements<uint16_t>(matrix, tensor, 0, packed);
    case Precision::int8: return pack_elements<uint8_t>(matrix, tensor, flip_, packed);
    case Precision::table: return pack_codes(matrix, tensor, packed);
  }
}

void unpack_row(const Matrix& matrix, int output, int inputs, float factor, bool unsigned_weights, float* out) {
  const auto fill = [&](float scale, const auto& value) {
    for (int k = 0; k < inputs; ++k) out[k] = scale * value(k);
  };
  const auto from_int8 = [flip = unsigned_weights ? 0x80 : 0](int packed) {
    return static_cast<float>(static_cast<int8_t>(packed ^ flip));
  };
  switch (matrix.precision) {
    case Precision::float32: {
      const float* data = static_cast<const float*>(matrix.data);
      return fill(factor, [&](int k) { return data[element_index<float>(matrix, output, k)]; });
    }
    case Precision::bfloat16: {
      const uint16_t* data = static_cast<const uint16_t*>(matrix.data);
      return fill(factor, [&](int k) {
        const uint32_t bits = static_cast<uint32_t>(data[element_index<uint16_t>(matrix, output, k)]) << 16;
        return std::bit_cast<float>(bits);
      });
    }
    case Precision::int8: {
      const uint8_t* data = static_cast<const uint8_t*>(matrix.data);
      return fill(factor * matrix.scales[output],
                  [&](int k) { return from_int8(data[element_index<uint8_t>(matrix, output, k)]); });
    }
    case Precision::table: {
      const uint8_t* data = static_cast<const uint8_t*>(matrix.data);
      const int8_t* table = matrix.tables + output / kBlock * kTableSize;
      return fill(factor * matrix.scales[output], [&](int k) {
        const CodePlace place = code_place(matrix, output, k);
        return from_int8(table[data[place.byte] >> place.shift & 15]);
      });
    }
  }
}

}  // namespace hat
