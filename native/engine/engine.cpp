#include "engine/engine.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <stdexcept>
#include <string>

namespace hat {
namespace {

// Limits that bound memory: the widest beam, the most hypotheses in one step, and the most candidates of these
// hypotheses (eight bytes each, for every thread).
constexpr int kMaxBeam = 1 << 12;
constexpr size_t kMaxRows = 1 << 20, kMaxCandidates = 1 << 27;

// With more rows per thread, products are bound by computing, not by reading weights: a batch for each thread is then
// faster than a share of every product, with a barrier after it, for each thread.
constexpr size_t kRowsPerBatch = 32;
// More batches than threads, so that a thread whose processor is busy with another process gets fewer of them.
constexpr size_t kBatchesPerThread = 4;

void check_options(const DecodeOptions& options, size_t sentences) {
  if (options.beam < 1 || options.beam > kMaxBeam || options.nbest < 1 || options.nbest > options.beam)
    throw std::invalid_argument("beam and nbest must be at least 1, nbest at most the beam, the beam at most " +
                                std::to_string(kMaxBeam));
  const size_t beam = options.beam, rows = sentences * beam;
  if (rows > kMaxRows || rows * 2 * beam > kMaxCandidates)
    throw std::invalid_argument(std::to_string(sentences) + " sentences with a beam of " + std::to_string(beam) +
                                " are too many at once; use a smaller batch");
  if (options.max_length_offset < 1 || !(options.max_length_factor >= 0))
    throw std::invalid_argument("the longest translation must have at least one token");
}

void check_tokens(const std::vector<Sentence>& sentences, int vocabulary, const char* side) {
  for (const Sentence& sentence : sentences) {
    if (sentence.empty()) throw std::invalid_argument(std::string("a ") + side + " without tokens");
    if (sentence.size() > static_cast<size_t>(kMaxTokens))
      throw std::invalid_argument(std::string("a ") + side + " of " + std::to_string(sentence.size()) +
                                  " tokens; the most is " + std::to_string(kMaxTokens));
    for (const int id : sentence)
      if (id < 0 || id >= vocabulary)
        throw std::invalid_argument(std::string(side) + " token " + std::to_string(id) +
                                    " is outside the vocabulary of " + std::to_string(vocabulary));
  }
}

std::vector<Sentence> select(const std::vector<Sentence>& sentences, const std::vector<size_t>& indices) {
  std::vector<Sentence> selected;
  for (const size_t i : indices) selected.push_back(sentences[i]);
  return selected;
}

std::vector<std::vector<float>> score_targets(Network& network, const std::vector<Sentence>& sources,
                                              const std::vector<Sentence>& targets) {
  const int count = static_cast<int>(sources.size());
  network.begin(sources, count, 0);
  std::vector<int> active(count);  // the targets that have tokens left; each has the slot of its own number
  std::iota(active.begin(), active.end(), 0);
  std::vector<std::vector<int>> ancestors(count);
  std::vector<std::vector<float>> scores(count);
  network.run(
      [&](int step) {
        for (const int i : active) {
          const int input = step ? targets[i][step - 1] : kEos;
          network.add_row({i, i, input, ancestors[i].data()}, {.wanted = targets[i][step]});
        }
      },
      [&](int step) {
        int row = 0;
        for (const int i : active) {
          scores[i].push_back(network.logits().wanted_logit(row) - network.logits().log_sum(row));
          ancestors[i].push_back(i);
          ++row;
        }
        std::erase_if(active, [&](int i) { return step + 1 == static_cast<int>(targets[i].size()); });
      });
  return scores;
}

}  // namespace

Engine::Engine(std::shared_ptr<const Model> model, int threads, bool spin)
    : model_(std::move(model)), network_(model_, threads, spin), thread_networks_(threads) {}

template <class Result, class Work>
std::vector<Result> Engine::distribute(size_t sentences, size_t rows, const Work& work) {
  const size_t threads = thread_networks_.size();
  std::vector<size_t> all(sentences);
  std::iota(all.begin(), all.end(), size_t{0});
  if (threads == 1 || rows < kRowsPerBatch * threads) return work(network_, all);
  network_.team().check_process();
  for (std::unique_ptr<Network>& network : thread_networks_)
    if (!network) network = std::make_unique<Network>(model_, 1, false);
  std::vector<Result> results(sentences);
  const size_t batches = std::min({sentences, rows / kRowsPerBatch, kBatchesPerThread * threads});
  const auto decode = [&](int member, size_t batch) {
    std::vector<size_t> indices;  // every k-th sentence: they are sorted by length, so all batches are alike
    for (size_t i = batch; i < sentences; i += batches) indices.push_back(i);
    std::vector<Result> decoded = work(*thread_networks_[member], indices);
    for (size_t i = 0; i < indices.size(); ++i) results[indices[i]] = std::move(decoded[i]);
  };
  std::vector<std::exception_ptr> failures(threads);
  network_.team().parallel_for(static_cast<int>(batches), 1, [&](int member, int begin, int end) {
    try {
      for (int batch = begin; batch < end; ++batch) decode(member, batch);
    } catch (...) {
      failures[member] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  return results;
}

std::vector<std::vector<Hypothesis>> Engine::translate(const std::vector<Sentence>& sources,
                                                       const DecodeOptions& options) {
  check_options(options, sources.size());
  const std::lock_guard lock(mutex_);
  check_tokens(sources, model_->config.source_vocab, "source");
  if (sources.empty()) return {};
  const size_t rows = sources.size() * static_cast<size_t>(options.beam);
  return distribute<std::vector<Hypothesis>>(
      sources.size(), rows, [&](Network& network, const std::vector<size_t>& indices) {
        return beam_search(network, select(sources, indices), options);
      });
}

std::vector<std::vector<float>> Engine::score(const std::vector<Sentence>& sources,
                                              const std::vector<Sentence>& targets) {
  if (sources.size() != targets.size()) throw std::invalid_argument("there must be as many targets as sources");
  const std::lock_guard lock(mutex_);
  check_tokens(sources, model_->config.source_vocab, "source");
  check_tokens(targets, model_->config.target_vocab, "target");
  if (sources.empty()) return {};
  return distribute<std::vector<float>>(
      sources.size(), sources.size(), [&](Network& network, const std::vector<size_t>& indices) {
        return score_targets(network, select(sources, indices), select(targets, indices));
      });
}

size_t Engine::workspace_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = network_.bytes();
  for (const std::unique_ptr<Network>& network : thread_networks_)
    if (network) bytes += network->bytes();
  return bytes;
}

}  // namespace hat
