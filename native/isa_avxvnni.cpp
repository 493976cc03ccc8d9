// AVX-VNNI: the 256-bit dot product of processors without AVX-512 (Alder Lake and later laptops).
#include <immintrin.h>

#include <cstdint>
#define HAT_ISA avxvnni
#define HAT_NAME "avxvnni"
#define HAT_WIDTH 8
#define HAT_VECTORS 2
#define HAT_ROWS 5
#define HAT_UNSIGNED true

typedef int32_t Lanes __attribute__((vector_size(32)));

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  return (Lanes)_mm256_dpbusd_avx_epi32((__m256i)total, (__m256i)w, (__m256i)x);
}

#include "kernels_impl.h"
