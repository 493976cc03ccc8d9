// Registers of 512 bits and VNNI, for the instruction sets that build on both.
#pragma once
#include <immintrin.h>

#include <cstdint>
#define HAT_WIDTH 16
#define HAT_VECTORS 2
#define HAT_ROWS 8
#define HAT_UNSIGNED true
#define HAT_TABLES

typedef int32_t Lanes __attribute__((vector_size(64)));

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  return (Lanes)_mm512_dpbusd_epi32((__m512i)total, (__m512i)w, (__m512i)x);
}

static inline Lanes table_of(const int8_t* values) {
  return (Lanes)_mm512_maskz_broadcast_i32x4(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
}

static inline Lanes look_up(Lanes table, Lanes codes) {
  return (Lanes)_mm512_shuffle_epi8((__m512i)table, (__m512i)codes);
}
