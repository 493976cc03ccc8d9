// The kernels, written once over vectors of HAT_WIDTH floats and compiled by every isa_*.cpp, which defines
//
//   HAT_ISA       the name of the instruction set, and the namespace of its code
//   HAT_WIDTH     floats in a vector register
//   HAT_ROWS      a product keeps its sums in registers, for HAT_ROWS rows of activations (4, 5 or 8)
//   HAT_VECTORS   and HAT_VECTORS vectors of outputs at once
//   HAT_UNSIGNED  true where dot4 takes bytes of weights as unsigned, false where as signed
//   Lanes         HAT_WIDTH numbers of type int32_t
//   dot4          total[o] + Σ w[o][k] · x[o][k]: for every output o the sum over 4 bytes k
//
// and where the processor has them
//
//   HAT_DOT2      with dot2, the same sum over 2 bfloat16
//   HAT_TABLES    with table_of and look_up, which replace every byte (0 … 15) by one of 16 values
//
// All functions are static: the linker must not replace one by that of another instruction set.
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
const Kernels kernels = {HAT_STRING(HAT_ISA), HAT_UNSIGNED, kHasTables, prepare, multiply, add_norm, attend, project};

}  // namespace hat::HAT_ISA
