#include "kernels/dispatch.h"

#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

// CMake defines HAT_BUILT_SETS as BUILT(name) for each isa_<name>.cpp that the compiler can build.
// docs/add/instruction-set.md says how to add one.
namespace hat {
#define BUILT(set) namespace set { extern const Kernels kernels; }
HAT_BUILT_SETS
#undef BUILT

namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512vnni() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

// A bit of CPUID leaf 7, subleaf 1, register EAX: older compilers have no name for these features.
bool has_leaf7_1(int bit) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> bit & 1);
}
#elif defined(__aarch64__)
bool has_dot_product() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & (1ul << 20);  // HWCAP_ASIMDDP
#else
  return true;  // every Apple processor that runs macOS
#endif
}
#endif

}  // namespace

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets = {
#if defined(__x86_64__)
      {"avx512bf16", has_avx512vnni() && has_leaf7_1(5)},
      {"avx512vnni", has_avx512vnni()},
      {"avxvnni", has_avx2() && has_leaf7_1(4)},
      {"avx2", has_avx2()},
      {"generic", true},
#elif defined(__aarch64__)
      {"neon_dot", has_dot_product()},
      {"neon", true},
#endif
  };
  for (InstructionSet& set : sets) {
#define BUILT(built) \
  if (set.name == std::string(#built)) set.kernels = &built::kernels;
    HAT_BUILT_SETS
#undef BUILT
  }
  return sets;
}

const Kernels& choose_kernels(const std::string& name) {
  std::string choices = "auto";
  for (const InstructionSet& set : instruction_sets()) {
    if (!set.usable()) continue;
    if (name == "auto" || name == set.name) return *set.kernels;
    choices += std::string(", ") + set.name;
  }
  throw std::invalid_argument("instruction set '" + name + "': the choices on this machine are " + choices);
}

}  // namespace hat
