// The layout of packed weights (kernels.h): writing it from tensors, and reading rows of embeddings from it.
#pragma once
#include <functional>
#include <string>

#include "kernels/kernels.h"

namespace hat {

// Reads the tensor `name`: exactly `count` elements, for Precision::table a byte per code. They stay valid until the
// next call. Throws where there is no such tensor.
using WeightSource = std::function<const void*(const std::string& name, Precision elements, size_t count)>;

struct Norm {
  const float *gain, *bias;
};

// Lays tensors out one after another. The caller goes through all tensors twice, in the same order: the first time
// `bytes` adds up, the second time, after `fill`, memory is written.
class Packer {
 public:
  Packer(Precision linear_precision, bool unsigned_weights)
      : linear_precision_(linear_precision), flip_(unsigned_weights ? 0x80 : 0) {}

  size_t bytes() const { return bytes_; }
  void fill(std::byte* memory, const WeightSource& source);

  Matrix matrix(Precision precision, const std::string& name, int outputs, int inputs);
  // The matrix `name`.weight with the bias `name`.bias.
  Matrix linear(const std::string& name, int outputs, int inputs);
  Norm norm(const std::string& name, int dim);

 private:
  std::byte* allot(size_t bytes);
  const float* vector(const std::string& name, int size);
  const int8_t* tables(const std::string& name, int blocks);
  void write(const std::string& name, const Matrix& matrix, std::byte* packed) const;

  const Precision linear_precision_;
  const uint8_t flip_;  // adds 128 to an int8
  std::byte* memory_ = nullptr;
  const WeightSource* source_ = nullptr;
  size_t bytes_ = 0;
};

inline int blocks_of(const Matrix& matrix) { return (matrix.outputs + kBlock - 1) / kBlock; }

// out[k] = factor · the weight of `output` and input k, for the first `inputs` inputs.
void unpack_row(const Matrix& matrix, int output, int inputs, float factor, bool unsigned_weights, float* out);

}  // namespace hat
