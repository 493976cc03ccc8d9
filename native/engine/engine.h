// Translation and scoring with one model on several threads.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "engine/beam_search.h"
#include "engine/network.h"

namespace hat {

class Engine {
 public:
  // `spin`: each thread may have a processor to itself, and waits actively for a moment. Throws
  // std::runtime_error where the system does not let this process start so many threads.
  Engine(std::shared_ptr<const Model> model, int threads, bool spin = true);

  // The `nbest` best hypotheses of each source, best first. Calls from several threads take turns. Throws
  // std::invalid_argument for token ids outside the vocabulary, for empty sources and for options beyond the limits.
  std::vector<std::vector<Hypothesis>> translate(const std::vector<Sentence>& sources, const DecodeOptions& options);

  // The log-probability of every token of each target, given its source. Otherwise as `translate`.
  std::vector<std::vector<float>> score(const std::vector<Sentence>& sources, const std::vector<Sentence>& targets);

  // Bytes of activations and caches that are kept between calls.
  size_t workspace_bytes() const;

 private:
  // Calls work(network, indices of sentences) once with all threads on one network, or, where that is faster, for
  // several batches at a time with one thread each. `rows`: of a decoder step over all sentences.
  template <class Result, class Work>
  std::vector<Result> distribute(size_t sentences, size_t rows, const Work& work);

  const std::shared_ptr<const Model> model_;
  Network network_;                                        // of all threads
  std::vector<std::unique_ptr<Network>> thread_networks_;  // one per thread, made when first needed
  mutable std::mutex mutex_;
};

}  // namespace hat
