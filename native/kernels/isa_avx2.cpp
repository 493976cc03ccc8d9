// AVX2 with FMA (Haswell, Zen and later).
#include "kernels/lanes_avx2.h"
#define HAT_ISA avx2
#define HAT_UNSIGNED false

// maddubs multiplies unsigned bytes by signed ones, so the sign of the weight moves to the activation. Magnitudes are
// at most 127, so that a sum of two products (≤ 32,258) never saturates.
static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)w), _mm256_sign_epi8((__m256i)x, (__m256i)w));
  return total + (Lanes)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#include "kernels/kernels_impl.h"
