// Beam search over the decoder steps of a network.
#pragma once
#include <vector>

#include "engine/network.h"

namespace hat {

// As hat.runtime.DecodeOptions; lengths count target tokens including </s>.
struct DecodeOptions {
  int beam = 5, nbest = 1, min_length = 2, max_length_offset = 201;
  double length_penalty = 1.0, max_length_factor = 0.0;
};

struct Hypothesis {
  std::vector<int> tokens;          // including the final </s>
  float score;                      // log-probability / length^length_penalty
  std::vector<float> token_scores;  // log-probability of each token
};

// The longest source or target.
constexpr int kMaxTokens = 1 << 16;

// The `nbest` best hypotheses of each source, best first, as hat.model.beam_search finds them.
std::vector<std::vector<Hypothesis>> beam_search(Network& network, const std::vector<Sentence>& sources,
                                                 const DecodeOptions& options);

}  // namespace hat
