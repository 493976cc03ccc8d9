// AVX-VNNI: the 256-bit dot product of processors without AVX-512 (Alder Lake and later laptops).
#include <immintrin.h>

#include <cstdint>
#define HAT_ISA avxvnni
#define HAT_NAME "avxvnni"
#define HAT_WIDTH 8
#define HAT_VECTORS 2
#define HAT_ROWS 5
#define HAT_UNSIGNED true
#define HAT_LOOKUP

typedef int32_t Lanes __attribute__((vector_size(32)));

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  return (Lanes)_mm256_dpbusd_avx_epi32((__m256i)total, (__m256i)w, (__m256i)x);
}

static inline Lanes table_of(const int8_t* values) {
  return (Lanes)_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
}

static inline Lanes look_up(Lanes table, Lanes codes) {
  return (Lanes)_mm256_shuffle_epi8((__m256i)table, (__m256i)codes);
}

#include "kernels/kernels_impl.h"
