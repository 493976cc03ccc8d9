// Vectors of kWidth floats: loads and stores, sums, the exponential function, prefetching.
#pragma once
#include <cstring>

#include "kernels/kernels.h"

namespace hat::HAT_ISA {

constexpr int kWidth = HAT_WIDTH;

typedef float Floats __attribute__((vector_size(4 * kWidth)));
typedef int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));
typedef float FloatsAt __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
typedef int32_t IntsAt __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
typedef int8_t Bytes __attribute__((vector_size(kWidth)));
typedef int8_t BytesAt __attribute__((vector_size(kWidth), aligned(1), may_alias));

static inline Floats load(const float* p) { return *reinterpret_cast<const FloatsAt*>(p); }
static inline void store(float* p, Floats x) { *reinterpret_cast<FloatsAt*>(p) = x; }
static inline Ints load_ints(const void* p) { return *reinterpret_cast<const IntsAt*>(p); }
static inline Floats broadcast(float x) { return Floats{} + x; }
static inline Ints broadcast_ints(int32_t x) { return Ints{} + x; }
static inline int smaller(int a, int b) { return a < b ? a : b; }

// Returns b where a or b is NaN. larger(value, maximum) therefore skips a NaN, and larger(limit, value) keeps it. A
// NaN that comes from a damaged model must not become finite again: its row must get no score.
static inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
static inline float larger(float a, float b) { return a > b ? a : b; }

// A float of magnitude up to 2^22 plus kRounder is a whole number in the low bits of the sum, which are those of
// kRounder plus that number.
constexpr float kRounder = 12582912.0f;  // 1.5 · 2^23
constexpr int32_t kRounderBits = 0x4b400000;

// Prefetches two of the cache lines that will be read kAhead bytes later. Over kAhead bytes of reading, every line is
// prefetched once, by turns from kPages pages: memory serves several streams faster than one (on Ice Lake with one
// thread 15 GB/s, against 10.6 for lines in the order of reading).
static inline void fetch_ahead(const void* data) {
  constexpr uintptr_t kPage = 4096, kPages = 16, kPair = 128, kAhead = kPage * kPages;
  const uintptr_t at = reinterpret_cast<uintptr_t>(data), pair = at % kAhead / kPair;
  const uintptr_t line = at / kAhead * kAhead + kAhead + pair % kPages * kPage + pair / kPages * kPair;
  __builtin_prefetch(reinterpret_cast<const void*>(line));
  __builtin_prefetch(reinterpret_cast<const void*>(line + kPair / 2));
}

static inline float widened(float x) { return x; }
static inline float widened(uint16_t bfloat16) { return __builtin_bit_cast(float, static_cast<uint32_t>(bfloat16) << 16); }

// To the nearest bfloat16, of two equally near ones to the even one, as PyTorch rounds. Not for NaN.
static inline uint16_t to_bfloat16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

typedef uint16_t Halves __attribute__((vector_size(2 * kWidth)));
typedef uint16_t HalvesAt __attribute__((vector_size(2 * kWidth), aligned(2), may_alias));

// kWidth bfloat16 as floats, and back.
static inline Floats load_halves(const uint16_t* p) {
  return (Floats)(__builtin_convertvector((Halves)*reinterpret_cast<const HalvesAt*>(p), Words) << 16);
}
static inline void store_halves(uint16_t* p, Floats x) {
  const Words bits = (Words)x;
  *reinterpret_cast<HalvesAt*>(p) = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, Halves);
}

static inline float sum(Floats x) {
  float parts[kWidth];
  std::memcpy(parts, &x, sizeof parts);
  for (int step = kWidth / 2; step; step /= 2)
    for (int i = 0; i < step; ++i) parts[i] += parts[i + step];
  return parts[0];
}

static inline float largest(Floats x) {
  float parts[kWidth];
  std::memcpy(parts, &x, sizeof parts);
  for (int step = kWidth / 2; step; step /= 2)
    for (int i = 0; i < step; ++i) parts[i] = larger(parts[i], parts[i + step]);
  return parts[0];
}

constexpr float kLowestExponent = -87.0f;  // e^x is a normal float from here on

// e^x for x ≤ 0, with a relative error of at most 2e-7; NaN for NaN. e^x = 2^n · e^r: a polynomial on
// [−ln2/2, ln2/2] for e^r, and n in the exponent bits of a float.
static inline Floats exponential(Floats x) {
  x = larger(broadcast(kLowestExponent), x);
  const Floats shifted = x * 1.44269504f + kRounder;
  const Ints exponent = ((Ints)shifted << 23) + 0x3f800000;
  const Floats n = shifted - kRounder;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats y = broadcast(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  return y * (Floats)exponent;
}

// scores[i] = e^(scores[i] − highest); returns their sum.
static float exponentials(float* scores, int count, float highest) {
  const int whole = count / kWidth * kWidth;
  Floats total = broadcast(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats e = exponential(load(scores + i) - highest);
    store(scores + i, e);
    total += e;
  }
  float result = sum(total);
  if (whole < count) {
    float rest[kWidth];
    for (int i = 0; i < kWidth; ++i) rest[i] = whole + i < count ? scores[whole + i] - highest : kLowestExponent;
    const Floats e = exponential(load(rest));
    store(rest, e);
    for (int i = whole; i < count; ++i) result += scores[i] = rest[i - whole];
  }
  return result;
}

}  // namespace hat::HAT_ISA
