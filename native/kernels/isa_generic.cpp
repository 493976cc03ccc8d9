// Any processor: 16-byte vectors, which every x86-64 and every ARMv8 has.
#include <cstdint>
#include <cstring>
#if defined(__aarch64__)
#include <arm_neon.h>
#define HAT_ISA neon
#define HAT_LOOKUP
#define HAT_NAME "neon"
#define HAT_VECTORS 4
#define HAT_ROWS 5
#else
#define HAT_ISA generic
#define HAT_NAME "generic"
#define HAT_VECTORS 2
#define HAT_ROWS 4
#endif
#define HAT_WIDTH 4
#define HAT_UNSIGNED false

typedef int32_t Lanes __attribute__((vector_size(16)));

// total[o] + Σ w[o][k] · x[o][k] over 4 outputs o of 4 signed bytes k.
static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
#if defined(__aarch64__)
  const int8x16_t a = (int8x16_t)w, b = (int8x16_t)x;
  const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
  return total + (Lanes)vpaddq_s32(low, high);
#else
  typedef int8_t Bytes __attribute__((vector_size(16)));
  Bytes a, b;
  std::memcpy(&a, &w, 16);
  std::memcpy(&b, &x, 16);
  for (int o = 0; o < 4; ++o)
    for (int k = 0; k < 4; ++k) total[o] += a[4 * o + k] * b[4 * o + k];
  return total;
#endif
}

#if defined(__aarch64__)
static inline Lanes table_of(const int8_t* values) { return (Lanes)vld1q_s8(values); }

static inline Lanes look_up(Lanes table, Lanes codes) {
  return (Lanes)vqtbl1q_s8((int8x16_t)table, (uint8x16_t)codes);
}
#endif

#include "kernels/kernels_impl.h"
