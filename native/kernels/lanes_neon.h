// Registers of 128 bits of ARM, for the instruction sets that build on NEON.
#pragma once
#include <arm_neon.h>

#include <cstdint>
#define HAT_WIDTH 4
#define HAT_VECTORS 4
#define HAT_ROWS 5
#define HAT_UNSIGNED false
#define HAT_TABLES

typedef int32_t Lanes __attribute__((vector_size(16)));

static inline Lanes table_of(const int8_t* values) { return (Lanes)vld1q_s8(values); }

static inline Lanes look_up(Lanes table, Lanes codes) {
  return (Lanes)vqtbl1q_s8((int8x16_t)table, (uint8x16_t)codes);
}
