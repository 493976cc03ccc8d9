// The label-smoothed cross-entropy of one row of logits, and its gradient.
#pragma once
#include "kernels/vectors.h"

namespace hat::HAT_ISA {

static float smoothed_loss(const uint16_t* logits, int vocabulary, int target, float smoothing, float* scratch,
                           uint16_t* gradient) {
  const int whole = vocabulary / kWidth * kWidth;
  Floats highest = load_halves(logits), total = broadcast(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats x = load_halves(logits + i);
    highest = larger(x, highest);
    total += x;
  }
  float peak = largest(highest), sum_of_logits = sum(total);
  for (int i = whole; i < vocabulary; ++i) {
    peak = larger(widened(logits[i]), peak);
    sum_of_logits += widened(logits[i]);
  }
  for (int i = 0; i < whole; i += kWidth) store(scratch + i, load_halves(logits + i));
  for (int i = whole; i < vocabulary; ++i) scratch[i] = widened(logits[i]);
  const float normalizer = exponentials(scratch, vocabulary, peak);
  const float even = smoothing / static_cast<float>(vocabulary), factor = 1 / normalizer;
  if (gradient) {
    for (int i = 0; i < whole; i += kWidth) store_halves(gradient + i, load(scratch + i) * factor - even);
    for (int i = whole; i < vocabulary; ++i) gradient[i] = to_bfloat16(scratch[i] * factor - even);
    gradient[target] = to_bfloat16(scratch[target] * factor - even - (1 - smoothing));
  }
  return peak + __builtin_logf(normalizer) - (1 - smoothing) * widened(logits[target]) - even * sum_of_logits;
}

}  // namespace hat::HAT_ISA
