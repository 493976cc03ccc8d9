// ARMv8.2 with the dot-product extension (Raspberry Pi 5, phones, Graviton).
#include "kernels/lanes_neon.h"
#define HAT_ISA neon_dot

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  return (Lanes)vdotq_s32((int32x4_t)total, (int8x16_t)w, (int8x16_t)x);
}

#include "kernels/kernels_impl.h"
