// Registers of 256 bits, for the instruction sets that build on AVX2.
#pragma once
#include <immintrin.h>

#include <cstdint>
#define HAT_WIDTH 8
#define HAT_VECTORS 2
#define HAT_ROWS 5
#define HAT_TABLES

typedef int32_t Lanes __attribute__((vector_size(32)));

static inline Lanes table_of(const int8_t* values) {
  return (Lanes)_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
}

static inline Lanes look_up(Lanes table, Lanes codes) {
  return (Lanes)_mm256_shuffle_epi8((__m256i)table, (__m256i)codes);
}
