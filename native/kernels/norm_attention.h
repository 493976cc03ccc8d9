// Kernels between two products: the residual connection with LayerNorm, and attention of one query.
#pragma once
#include "kernels/vectors.h"

namespace hat::HAT_ISA {

static void add_norm(float* x, const float* delta, const float* gain, const float* bias, int size, float* out) {
  const int whole = size / kWidth * kWidth;
  Floats total = broadcast(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    Floats v = load(x + i);
    if (delta) store(x + i, v += load(delta + i));
    total += v;
  }
  float mean = sum(total);
  for (int i = whole; i < size; ++i) mean += delta ? x[i] += delta[i] : x[i];
  mean /= static_cast<float>(size);
  Floats squares = broadcast(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats v = load(x + i) - mean;
    squares += v * v;
  }
  float variance = sum(squares);
  for (int i = whole; i < size; ++i) variance += (x[i] - mean) * (x[i] - mean);
  const float factor = 1.0f / __builtin_sqrtf(variance / static_cast<float>(size) + 1e-5f);
  for (int i = 0; i < whole; i += kWidth)
    store(out + i, (load(x + i) - mean) * factor * load(gain + i) + load(bias + i));
  for (int i = whole; i < size; ++i) out[i] = (x[i] - mean) * factor * gain[i] + bias[i];
}

static inline float dot(const float* a, const float* b, int size) {
  const int whole = size / kWidth * kWidth;
  Floats total = broadcast(0.0f);
  for (int i = 0; i < whole; i += kWidth) total += load(a + i) * load(b + i);
  float result = whole ? sum(total) : 0.0f;
  for (int i = whole; i < size; ++i) result += a[i] * b[i];
  return result;
}

// out[i] = factor · Σ weights[k] · rows[k][offset + i] for i from `at` on, while V whole vectors fit below `size`.
// Returns the first i that is left.
template <int V>
static inline int weighted_sum(const float* weights, const float* const* rows, int keys, size_t offset, int at,
                               int size, float factor, float* out) {
  for (; at + V * kWidth <= size; at += V * kWidth) {
    Floats total[V] = {};
    for (int k = 0; k < keys; ++k)
      for (int v = 0; v < V; ++v) total[v] += load(rows[k] + offset + at + v * kWidth) * weights[k];
    for (int v = 0; v < V; ++v) store(out + at + v * kWidth, total[v] * factor);
  }
  return at;
}

static void attend(const float* query, const float* const* rows, int keys, int heads, int head_dim, float* scratch,
                   float* out) {
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head_dim));
  const size_t values = static_cast<size_t>(heads) * head_dim;
  for (int head = 0; head < heads; ++head) {
    const size_t first = static_cast<size_t>(head) * head_dim;
    float highest = -__builtin_inff();
    for (int k = 0; k < keys; ++k) {
      scratch[k] = scale * dot(query + first, rows[k] + first, head_dim);
      highest = larger(scratch[k], highest);
    }
    const float factor = 1.0f / exponentials(scratch, keys, highest);
    int done = weighted_sum<4>(scratch, rows, keys, values + first, 0, head_dim, factor, out + first);
    done = weighted_sum<1>(scratch, rows, keys, values + first, done, head_dim, factor, out + first);
    for (; done < head_dim; ++done) {
      float total = 0;
      for (int k = 0; k < keys; ++k) total += scratch[k] * rows[k][values + first + done];
      out[first + done] = total * factor;
    }
  }
}

}  // namespace hat::HAT_ISA
