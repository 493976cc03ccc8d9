// AVX2 with FMA (Haswell, Zen and later).
#include <immintrin.h>

#include <cstdint>
#define HAT_ISA avx2
#define HAT_NAME "avx2"
#define HAT_WIDTH 8
#define HAT_VECTORS 2
#define HAT_ROWS 5
#define HAT_UNSIGNED false
#define HAT_LOOKUP

typedef int32_t Lanes __attribute__((vector_size(32)));

// maddubs multiplies unsigned by signed bytes, so the weight's sign moves to the activation. Both are
// at most 127, so that its sums of two (≤ 32,258) never saturate.
static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)w), _mm256_sign_epi8((__m256i)x, (__m256i)w));
  return total + (Lanes)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

static inline Lanes table_of(const int8_t* values) {
  return (Lanes)_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
}

static inline Lanes look_up(Lanes table, Lanes codes) {
  return (Lanes)_mm256_shuffle_epi8((__m256i)table, (__m256i)codes);
}

#include "kernels/kernels_impl.h"
