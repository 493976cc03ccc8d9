// Beam search and scoring with one model, on a team of threads.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "engine/network.h"

namespace hat {

// As hat.runtime.DecodeOptions; lengths count target tokens including </s>.
struct Options {
  int beam = 5, nbest = 1, min_length = 2, max_length_offset = 201;
  double length_penalty = 1.0, max_length_factor = 0.0;
};

struct Hypothesis {
  std::vector<int> tokens;          // including the final </s>
  float score;                      // log-probability / length^length_penalty
  std::vector<float> token_scores;  // log-probability of each token
};

class Decoder {
 public:
  // `spin`: each thread may have a processor to itself, and waits actively for a moment. Throws
  // std::runtime_error where the system does not let this process start so many threads.
  Decoder(std::shared_ptr<const Model> model, int threads, bool spin = true);
  ~Decoder();

  // The `nbest` best hypotheses of each source, best first, as hat.model.beam_search finds them. May be
  // called from several threads, which then take turns. Throws std::invalid_argument for bad ids.
  std::vector<std::vector<Hypothesis>> translate(const std::vector<Sentence>& sources, const Options& options);

  // The log-probability of every token of each target, given its source.
  std::vector<std::vector<float>> score(const std::vector<Sentence>& sources, const std::vector<Sentence>& targets);

  // Bytes of activations and caches kept between calls.
  size_t workspace_bytes() const;

 private:
  class State;
  // Gives work(state, indices of sentences) to all threads together, or a part of the sentences to each.
  template <class Result, class Work>
  std::vector<Result> spread(size_t sentences, size_t rows, const Work& work);

  const std::shared_ptr<const Model> model_;
  const std::unique_ptr<State> team_;            // all threads on one batch
  std::vector<std::unique_ptr<State>> singles_;  // per thread, made when a large batch first needs them
  mutable std::mutex mutex_;
};

}  // namespace hat
