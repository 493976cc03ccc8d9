#include "kernels/dispatch.h"

#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace hat {
#if defined(__x86_64__)
namespace generic { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avxvnni { extern const Kernels kernels; }
namespace avx512vnni { extern const Kernels kernels; }
namespace avx512bf16 { extern const Kernels kernels; }
#elif defined(__aarch64__)
namespace neon { extern const Kernels kernels; }
namespace neon_dot { extern const Kernels kernels; }
#endif

namespace {

#if defined(__x86_64__)
// Bits of CPUID leaf 7, subleaf 1, register EAX, which not every compiler's library knows by name.
bool leaf7_1(int bit) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> bit & 1);
}

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512vnni() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

}  // namespace

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets;
  [[maybe_unused]] const auto add = [&sets](const char* name, bool supported, const Kernels* kernels) {
    sets.push_back({name, kernels != nullptr, supported, kernels});
  };
#if defined(__x86_64__)
#ifdef HAT_HAVE_AVX512BF16
  add("avx512bf16", has_avx512vnni() && leaf7_1(5), &avx512bf16::kernels);
#else
  add("avx512bf16", has_avx512vnni() && leaf7_1(5), nullptr);
#endif
#ifdef HAT_HAVE_AVX512VNNI
  add("avx512vnni", has_avx512vnni(), &avx512vnni::kernels);
#else
  add("avx512vnni", has_avx512vnni(), nullptr);
#endif
#ifdef HAT_HAVE_AVXVNNI
  add("avxvnni", has_avx2() && leaf7_1(4), &avxvnni::kernels);
#else
  add("avxvnni", has_avx2() && leaf7_1(4), nullptr);
#endif
#ifdef HAT_HAVE_AVX2
  add("avx2", has_avx2(), &avx2::kernels);
#else
  add("avx2", has_avx2(), nullptr);
#endif
  add("generic", true, &generic::kernels);
#elif defined(__aarch64__)
#if defined(__linux__)
  const bool dot = getauxval(AT_HWCAP) & (1ul << 20);  // HWCAP_ASIMDDP
#else
  const bool dot = true;  // every Apple processor that runs macOS
#endif
#ifdef HAT_HAVE_NEON_DOT
  add("neon_dot", dot, &neon_dot::kernels);
#else
  add("neon_dot", dot, nullptr);
#endif
  add("neon", true, &neon::kernels);
#endif
  return sets;
}

const Kernels& choose_kernels(const std::string& name) {
  std::string choices = "auto";
  for (const InstructionSet& set : instruction_sets()) {
    if (!set.built || !set.supported) continue;
    if (name == "auto" || name == set.name) return *set.kernels;
    choices += std::string(", ") + set.name;
  }
  throw std::invalid_argument("instruction set '" + name + "': the choices on this machine are " + choices);
}

}  // namespace hat
