// The instruction sets of this build and of this processor, and the choice among them.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace hat {

struct InstructionSet {
  const char* name;
  bool supported;                    // by this processor
  const Kernels* kernels = nullptr;  // null where this build lacks them

  bool usable() const { return supported && kernels; }
};

// All instruction sets of the processor's architecture, best first.
std::vector<InstructionSet> instruction_sets();

// The kernels of the instruction set `name`, for "auto" the best here. Throws std::invalid_argument with the choices.
const Kernels& choose_kernels(const std::string& name);

}  // namespace hat
