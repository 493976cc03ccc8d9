// The kernels, written once over vectors of HAT_WIDTH floats. Every isa_*.cpp includes this file after defining
//
//   HAT_ISA       the name of the instruction set, which is also the namespace of its code
//   HAT_WIDTH     floats in a vector register
//   HAT_ROWS      rows of activations (4, 5 or 8) and
//   HAT_VECTORS   vectors of outputs whose sums a product keeps in registers
//   HAT_UNSIGNED  true where dot4 takes the bytes of weights as unsigned
//   Lanes         a vector of HAT_WIDTH int32_t
//   dot4          total[o] + Σ w[o][k] · x[o][k], for every output o the sum over 4 bytes k
//
// and where the processor has instructions for it
//
//   HAT_DOT2      dot2, the same sum over 2 bfloat16
//   HAT_TABLES    table_of and look_up, which replace every byte (0 … 15) by one of 16 values
//
// A lanes_*.h defines some of it for several instruction sets. All functions are static: the linker must not replace
// one by that of another instruction set.
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/loss.h"
#include "kernels/norm_attention.h"
#include "kernels/prepare.h"
#include "kernels/vocabulary.h"

#define HAT_STRING_OF(text) #text
#define HAT_STRING(macro) HAT_STRING_OF(macro)

namespace hat::HAT_ISA {

#ifdef HAT_TABLES
constexpr bool kHasTables = true;
#else
constexpr bool kHasTables = false;
#endif

extern const Kernels kernels;
const Kernels kernels = {HAT_STRING(HAT_ISA), HAT_UNSIGNED, kHasTables, prepare, multiply, add_norm, attend, project,
                         adamw, square_sum, smoothed_loss, attention, attention_gradients};

}  // namespace hat::HAT_ISA
