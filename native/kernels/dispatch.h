// Which kernels this build holds, which of them this processor can run, and which are used.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace hat {

struct InstructionSet {
  const char* name;
  bool built, supported;
  const Kernels* kernels;  // null where not built
};

// All of this architecture, best first.
std::vector<InstructionSet> instruction_sets();

// The kernels called `name`; "auto": the best that can run here. Throws std::invalid_argument that names
// the choices.
const Kernels& choose_kernels(const std::string& name);

}  // namespace hat
