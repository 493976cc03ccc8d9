// ARMv8.2 with the dot-product extension (Raspberry Pi 5, phones, Graviton).
#include <arm_neon.h>

#include <cstdint>
#define HAT_ISA neon_dot
#define HAT_NAME "neon_dot"
#define HAT_WIDTH 4
#define HAT_VECTORS 4
#define HAT_ROWS 5
#define HAT_UNSIGNED false

typedef int32_t Lanes __attribute__((vector_size(16)));

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  return (Lanes)vdotq_s32((int32x4_t)total, (int8x16_t)w, (int8x16_t)x);
}

#include "kernels_impl.h"
