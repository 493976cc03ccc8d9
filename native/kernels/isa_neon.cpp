// Any 64-bit ARM processor (Raspberry Pi 3 and 4).
#include "kernels/lanes_neon.h"
#define HAT_ISA neon

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  const int8x16_t a = (int8x16_t)w, b = (int8x16_t)x;
  const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
  return total + (Lanes)vpaddq_s32(low, high);
}

#include "kernels/kernels_impl.h"
