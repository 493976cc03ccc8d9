// Activations, in the form that products read.
#pragma once
#include "kernels/vectors.h"

namespace hat::HAT_ISA {

// The largest magnitude of the inputs; NaN where one is not finite. int8 has no NaN: the row's scale becomes NaN.
static inline float peak_of(const float* x, int inputs) {
  const int whole = inputs / kWidth * kWidth;
  Floats highest = broadcast(0.0f), zeros = broadcast(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats v = load(x + i);
    highest = larger(larger(v, -v), highest);
    zeros += v * 0.0f;
  }
  float peak = largest(highest), zero = sum(zeros);
  for (int i = whole; i < inputs; ++i) {
    peak = larger(__builtin_fabsf(x[i]), peak);
    zero += x[i] * 0.0f;
  }
  return peak + zero;
}

// out[i] = x[i] · factor, rounded; returns their sum.
static inline int32_t round_to_int8(const float* x, int inputs, float factor, int8_t* out) {
  const int whole = inputs / kWidth * kWidth;
  Ints total = broadcast_ints(0);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats shifted = load(x + i) * factor + kRounder;
    const Bytes rounded = __builtin_convertvector((Ints)shifted - kRounderBits, Bytes);
    total += __builtin_convertvector(rounded, Ints);
    *reinterpret_cast<BytesAt*>(out + i) = rounded;
  }
  int32_t sum_of_row = 0;
  for (int i = 0; i < kWidth; ++i) sum_of_row += total[i];
  for (int i = whole; i < inputs; ++i) {
    const float shifted = x[i] * factor + kRounder;
    int32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    out[i] = static_cast<int8_t>(bits - kRounderBits);
    sum_of_row += out[i];
  }
  return sum_of_row;
}

static void prepare_int8(const float* x, int inputs, int row, const Operand& operand) {
  int8_t* out = reinterpret_cast<int8_t*>(operand.data + row * operand.stride);
  const float peak = peak_of(x, inputs);
  const int32_t sum_of_row = round_to_int8(x, inputs, peak > 0 ? 127.0f / peak : 0.0f, out);
  for (int i = inputs; i % inputs_per_group(Precision::table); ++i) out[i] = 0;
  operand.scales[row] = peak / 127.0f;
  operand.sums[row] = static_cast<int32_t>(128 * static_cast<uint32_t>(sum_of_row));
}

static void prepare(Precision precision, const float* x, int inputs, int row, const Operand& operand) {
  if (multiplies_in_int8(precision)) return prepare_int8(x, inputs, row, operand);
#ifdef HAT_DOT2
  if (precision == Precision::bfloat16) {
    uint16_t* out = reinterpret_cast<uint16_t*>(operand.data + row * operand.stride);
    for (int i = 0; i < inputs; ++i) out[i] = to_bfloat16(x[i]);
    if (inputs % 2) out[inputs] = 0;
    return;
  }
#endif
  float* out = reinterpret_cast<float*>(operand.data + row * operand.stride);
  std::memcpy(out, x, 4 * static_cast<size_t>(inputs));
  if (inputs % 2) out[inputs] = 0;
}

}  // namespace hat::HAT_ISA
