// Any x86-64 processor: vectors of 16 bytes, without intrinsics.
#include <cstdint>
#include <cstring>
#define HAT_ISA generic
#define HAT_WIDTH 4
#define HAT_VECTORS 2
#define HAT_ROWS 4
#define HAT_UNSIGNED false

typedef int32_t Lanes __attribute__((vector_size(16)));

static inline Lanes dot4(Lanes total, Lanes w, Lanes x) {
  typedef int8_t Bytes __attribute__((vector_size(16)));
  Bytes a, b;
  std::memcpy(&a, &w, 16);
  std::memcpy(&b, &x, 16);
  for (int o = 0; o < 4; ++o)
    for (int k = 0; k < 4; ++k) total[o] += a[4 * o + k] * b[4 * o + k];
  return total;
}

#include "kernels/kernels_impl.h"
