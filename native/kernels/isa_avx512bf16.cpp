// AVX-512 with VNNI and bfloat16 products (Cooper Lake, Sapphire Rapids, Zen 4 and later).
#include "kernels/lanes_avx512.h"
#define HAT_ISA avx512bf16
#define HAT_DOT2

typedef float FloatLanes __attribute__((vector_size(64)));

static inline FloatLanes dot2(FloatLanes total, Lanes w, Lanes x) {
  return (FloatLanes)_mm512_dpbf16_ps((__m512)total, (__m512bh)w, (__m512bh)x);
}

#include "kernels/kernels_impl.h"
