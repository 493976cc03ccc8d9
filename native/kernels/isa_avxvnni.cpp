// AVX-VNNI: the dot product of 256 bits, of processors without AVX-512 (laptops from Alder Lake on).
#include "kernels/lanes_avx2.h"
#define HAT_ISA avxvnni
#define HAT_UNSIGNED true

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  return (Lanes)_mm256_dpbusd_avx_epi32((__m256i)total, (__m256i)w, (__m256i)x);
}

#include "kernels/kernels_impl.h"
