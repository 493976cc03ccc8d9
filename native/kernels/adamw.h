// One pass of AdamW over a row of weights, and the sum of squares of gradients. The compiler makes vectors of the loops.
#pragma once
#include "kernels/vectors.h"

namespace hat::HAT_ISA {

// Updates a weight and its moments by the gradient `slope`.
static inline void step(float& weight, float& mean, float& square, float slope, const AdamWStep& by) {
  slope *= by.gradient_factor;
  mean += by.mean_rate * (slope - mean);
  square = by.square_decay * square + by.square_rate * slope * slope;
  weight = weight * by.weight_decay - by.step_size * mean / (__builtin_sqrtf(square) * by.root_factor + by.epsilon);
}

// The weights [begin, end) of a row; kTouched: they have gradients; kCopied: they have a copy.
template <bool kTouched, bool kCopied, class Gradient>
static inline void step(const AdamWRow& row, size_t begin, size_t end, const Gradient* __restrict gradient,
                        const AdamWStep& of_row) {
  float* __restrict weights = row.weights;
  float* __restrict mean = row.mean;
  float* __restrict square = row.square;
  uint16_t* __restrict copy = row.copy;
  const AdamWStep by = of_row;
  for (size_t i = begin; i < end; ++i) {
    step(weights[i], mean[i], square[i], kTouched ? widened(gradient[i]) : 0.0f, by);
    if constexpr (kCopied) copy[i] = to_bfloat16(weights[i]);
  }
}

template <class Gradient>
static inline void step(const AdamWRow& row, size_t size, const AdamWStep& by) {
  const auto* gradient = static_cast<const Gradient*>(row.gradient);
  const size_t inside = gradient ? row.gradient_size : 0;
  if (row.copy) {
    step<true, true>(row, 0, inside, gradient, by);
    step<false, true>(row, inside, size, gradient, by);
  } else {
    step<true, false>(row, 0, inside, gradient, by);
    step<false, false>(row, inside, size, gradient, by);
  }
}

static void adamw(const AdamWRow& row, size_t size, const AdamWStep& by) {
  if (row.precision == Precision::bfloat16)
    step<uint16_t>(row, size, by);
  else
    step<float>(row, size, by);
}

template <class Gradient>
static inline float square_sum(const Gradient* gradient, size_t size) {
  constexpr size_t kSums = 4 * kWidth;  // so many additions do not wait for each other
  float sums[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= size; i += kSums)
    for (size_t k = 0; k < kSums; ++k) sums[k] += widened(gradient[i + k]) * widened(gradient[i + k]);
  float total = 0;
  for (; i < size; ++i) total += widened(gradient[i]) * widened(gradient[i]);
  for (float part : sums) total += part;
  return total;
}

static float square_sum(Precision precision, const void* gradient, size_t size) {
  return precision == Precision::bfloat16 ? square_sum(static_cast<const uint16_t*>(gradient), size)
                                          : square_sum(static_cast<const float*>(gradient), size);
}

}  // namespace hat::HAT_ISA
