// ARMv8.2 with the dot-product extension (Raspberry Pi 5, phones, Graviton).
#include <arm_neon.h>

#include <cstdint>
#define HAT_ISA neon_dot
#define HAT_NAME "neon_dot"
#define HAT_WIDTH 4
#define HAT_VECTORS 4
#define HAT_ROWS 5
#define HAT_UNSIGNED false
#define HAT_LOOKUP

typedef int32_t Lanes __attribute__((vector_size(16)));

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  return (Lanes)vdotq_s32((int32x4_t)total, (int8x16_t)w, (int8x16_t)x);
}

static inline Lanes table_of(const int8_t* values) { return (Lanes)vld1q_s8(values); }

static inline Lanes look_up(Lanes table, Lanes codes) {
  return (Lanes)vqtbl1q_s8((int8x16_t)table, (uint8x16_t)codes);
}

#include "kernels/kernels_impl.h"
