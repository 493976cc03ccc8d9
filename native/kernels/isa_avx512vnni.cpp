// AVX-512 with VNNI (Cascade Lake, Ice Lake, Zen 4 and later).
#include "kernels/lanes_avx512.h"
#define HAT_ISA avx512vnni

#include "kernels/kernels_impl.h"
