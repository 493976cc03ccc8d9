#include "engine/beam_search.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace hat {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// Limits that bound memory: the longest sentence, the widest beam, the most hypotheses decoded at once and the
// most candidates of these hypotheses (eight bytes each, for every thread).
constexpr int kLongest = 1 << 16, kWidest = 1 << 12;
constexpr size_t kMostSlots = 1 << 20, kMostCandidates = 1 << 27;

// From so many rows a thread on, products are bound by computing, not by reading weights: threads then do
// better with sentences of their own than with a share of every product and a barrier after it.
constexpr size_t kRowsToSpread = 32;
// More parts than threads, so that a thread whose processor is busy with another process gets fewer of them.
constexpr size_t kPartsPerThread = 4;

// A sentence that is being decoded.
struct Live {
  int index;       // of the input
  int first_slot;  // its hypotheses use slots first_slot, first_slot + 1, …
  int width;       // live hypotheses; they are consecutive rows
  int limit;       // most target tokens
};

struct Candidate {
  float total, own;  // score of the hypothesis, log-probability of the word
  int parent, word;  // the parent's place among the sentence's rows
};

bool better(const Candidate& a, const Candidate& b) {
  if (a.total != b.total) return a.total > b.total;
  return a.parent != b.parent ? a.parent < b.parent : a.word < b.word;
}

}  // namespace

class Decoder::State {
 public:
  State(std::shared_ptr<const Model> model, int threads, bool spin) : network(std::move(model), threads, spin) {}

  std::vector<std::vector<Hypothesis>> translate(const std::vector<Sentence>& sources, const Options& options) {
    begin(sources, options.beam, 2 * options.beam);
    for (size_t i = 0; i < sources.size(); ++i) {
      const double limit = std::floor(options.max_length_factor * static_cast<double>(sources[i].size())) +
                           options.max_length_offset;
      live_[i].limit = static_cast<int>(std::min(limit, static_cast<double>(kLongest)));
    }
    std::vector<std::vector<Hypothesis>> found(sources.size());
    network.run([&](int step) { lay_out(step, [&](const Live& sentence) { return ask(step, sentence, options); }); },
                [&](int step) { choose(step, options, found); });
    for (std::vector<Hypothesis>& hypotheses : found) {
      std::stable_sort(hypotheses.begin(), hypotheses.end(),
                       [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
      if (hypotheses.size() > static_cast<size_t>(options.nbest)) hypotheses.resize(options.nbest);
    }
    return found;
  }

  std::vector<std::vector<float>> score(const std::vector<Sentence>& sources, const std::vector<Sentence>& targets) {
    begin(sources, 1, 0);
    for (size_t i = 0; i < targets.size(); ++i) live_[i].limit = static_cast<int>(targets[i].size());
    std::vector<std::vector<float>> found(sources.size());
    network.run(
        [&](int step) { lay_out(step, [&](const Live& s) { return Question{.wanted = targets[s.index][step]}; }); },
        [&](int step) { follow(step, targets, found); });
    return found;
  }

  Network network;

 private:
  void begin(const std::vector<Sentence>& sources, int beam, int capacity) {
    beam_ = beam;
    slots_ = sources.size() * static_cast<size_t>(beam);
    network.begin(sources, static_cast<int>(slots_), capacity);
    live_.clear();
    for (int i = 0; i < static_cast<int>(sources.size()); ++i) live_.push_back({i, i * beam, 1, 0});
    next_ancestors_.resize(slots_);
    totals_.assign(slots_, 0.0f);
    next_totals_.resize(slots_);
    extend_words(0);
    std::fill(words_[0].begin(), words_[0].end(), kEos);  // every target starts with </s>
  }

  void extend_words(int position) {
    if (words_.size() <= static_cast<size_t>(position)) {
      words_.resize(position + 1);
      word_scores_.resize(position + 1);
    }
    if (words_[position].size() < slots_) {
      words_[position].resize(slots_);
      word_scores_[position].resize(slots_);
    }
  }

  template <class Ask>
  void lay_out(int step, const Ask& ask) {
    for (const Live& sentence : live_)
      for (int slot = sentence.first_slot; slot < sentence.first_slot + sentence.width; ++slot)
        network.add_row({slot, sentence.index, words_[step][slot]}, ask(sentence));
  }

  static Question ask(int step, const Live& sentence, const Options& options) {
    if (step + 1 >= sentence.limit) return {.wanted = kEos};  // only </s> may come
    return {.capacity = 2 * options.beam, .forbidden = {kPad, step + 1 < options.min_length ? kEos : -1}};
  }

  // Beam search as published (docs/reference.md, Beam search): of the 2K best continuations an </s> among
  // the first K ends its hypothesis, the first K others go on.
  void choose(int step, const Options& options, std::vector<std::vector<Hypothesis>>& found) {
    const int length = step + 1;
    const size_t beam = options.beam;
    extend_words(length);
    size_t kept = 0;
    int row = 0;
    for (Live sentence : live_) {
      gather(sentence, row, length >= sentence.limit);
      row += sentence.width;
      std::vector<Hypothesis>& done = found[sentence.index];
      for (size_t rank = 0; rank < std::min(candidates_.size(), beam) && done.size() < beam; ++rank)
        if (candidates_[rank].word == kEos && std::isfinite(candidates_[rank].total))
          done.push_back(finished(sentence, candidates_[rank], step, options.length_penalty));
      if (done.size() >= beam || length >= sentence.limit) continue;
      sentence.width = branch(sentence, step);
      if (sentence.width) live_[kept++] = sentence;
    }
    live_.resize(kept);
    totals_.swap(next_totals_);
    network.ancestors.swap(next_ancestors_);
  }

  // candidates_ = the 2K best continuations of a sentence, best first; its rows start at `row`.
  void gather(const Live& sentence, int row, bool ending) {
    candidates_.clear();
    for (int i = 0; i < sentence.width; ++i) {
      const float normaliser = network.log_sum(row + i), before = totals_[sentence.first_slot + i];
      const auto add = [&](float logit, int word) {
        const float own = logit - normaliser, total = before + own;
        candidates_.push_back({total == total ? total : kNever, own, i, word});
      };
      if (ending)
        add(network.wanted_logit(row + i), kEos);
      else
        for (const Word& word : network.candidates(row + i)) add(word.logit, word.id);
    }
    const size_t wanted = std::min(candidates_.size(), static_cast<size_t>(2 * beam_));
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(wanted), candidates_.end(),
                      better);
    candidates_.resize(wanted);
  }

  // Fills the sentence's slots for the next step; returns how many hypotheses go on.
  int branch(const Live& sentence, int step) {
    int width = 0;
    for (const Candidate& candidate : candidates_) {
      if (width == beam_) break;
      if (candidate.word == kEos || candidate.total == kNever) continue;
      const int parent = sentence.first_slot + candidate.parent, slot = sentence.first_slot + width++;
      next_ancestors_[slot] = network.ancestors[parent];
      next_ancestors_[slot].push_back(parent);
      words_[step + 1][slot] = candidate.word;
      word_scores_[step + 1][slot] = candidate.own;
      next_totals_[slot] = candidate.total;
    }
    return width;
  }

  Hypothesis finished(const Live& sentence, const Candidate& last, int step, double length_penalty) const {
    Hypothesis hypothesis;
    const int slot = sentence.first_slot + last.parent;
    for (int at = 1; at <= step; ++at) {
      const int there = at < step ? network.ancestors[slot][at] : slot;
      hypothesis.tokens.push_back(words_[at][there]);
      hypothesis.token_scores.push_back(word_scores_[at][there]);
    }
    hypothesis.tokens.push_back(kEos);
    hypothesis.token_scores.push_back(last.own);
    hypothesis.score = static_cast<float>(last.total / std::pow(step + 1, length_penalty));
    return hypothesis;
  }

  // Scoring: note what the wanted token got, and go on with it.
  void follow(int step, const std::vector<Sentence>& targets, std::vector<std::vector<float>>& found) {
    extend_words(step + 1);
    size_t kept = 0;
    int row = 0;
    for (const Live sentence : live_) {
      found[sentence.index].push_back(network.wanted_logit(row) - network.log_sum(row));
      ++row;
      words_[step + 1][sentence.first_slot] = targets[sentence.index][step];
      network.ancestors[sentence.first_slot].push_back(sentence.first_slot);
      if (step + 1 < sentence.limit) live_[kept++] = sentence;
    }
    live_.resize(kept);
  }

  int beam_ = 0;
  size_t slots_ = 0;
  std::vector<Live> live_;
  std::vector<Candidate> candidates_;
  std::vector<float> totals_, next_totals_;       // per slot
  std::vector<std::vector<int>> next_ancestors_;  // per slot
  std::vector<std::vector<int>> words_;           // per position and slot: the token taken in there
  std::vector<std::vector<float>> word_scores_;
};

namespace {

void check_ids(const std::vector<Sentence>& sentences, int vocabulary, const char* side) {
  for (const Sentence& sentence : sentences) {
    if (sentence.empty()) throw std::invalid_argument(std::string("a ") + side + " without tokens");
    if (sentence.size() > static_cast<size_t>(kLongest))
      throw std::invalid_argument(std::string("a ") + side + " of " + std::to_string(sentence.size()) +
                                  " tokens; the most is " + std::to_string(kLongest));
    for (const int id : sentence)
      if (id < 0 || id >= vocabulary)
        throw std::invalid_argument(std::string(side) + " token " + std::to_string(id) +
                                    " is outside the vocabulary of " + std::to_string(vocabulary));
  }
}

std::vector<Sentence> pick(const std::vector<Sentence>& sentences, const std::vector<size_t>& chosen) {
  std::vector<Sentence> picked;
  for (const size_t i : chosen) picked.push_back(sentences[i]);
  return picked;
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const Model> model, int threads, bool spin)
    : model_(std::move(model)), team_(std::make_unique<State>(model_, threads, spin)), singles_(threads) {}

Decoder::~Decoder() = default;

template <class Result, class Work>
std::vector<Result> Decoder::spread(size_t sentences, size_t rows, const Work& work) {
  const size_t threads = singles_.size();
  std::vector<size_t> all(sentences);
  std::iota(all.begin(), all.end(), size_t{0});
  if (threads == 1 || rows < kRowsToSpread * threads) return work(*team_, all);
  Team& team = team_->network.team();
  team.check_process();
  std::vector<Result> results(sentences);
  std::vector<std::exception_ptr> failures(threads);
  for (std::unique_ptr<State>& single : singles_)
    if (!single) single = std::make_unique<State>(model_, 1, false);
  const size_t parts = std::min({sentences, rows / kRowsToSpread, kPartsPerThread * threads});
  const auto decode = [&](int member, size_t part) {
    std::vector<size_t> own;  // every k-th source; they are sorted by length, so all parts are alike
    for (size_t i = part; i < sentences; i += parts) own.push_back(i);
    std::vector<Result> found = work(*singles_[member], own);
    for (size_t i = 0; i < own.size(); ++i) results[own[i]] = std::move(found[i]);
  };
  team.share(static_cast<int>(parts), 1, [&](int member, int begin, int end) {
    try {
      for (int part = begin; part < end; ++part) decode(member, part);
    } catch (...) {
      failures[member] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  return results;
}

std::vector<std::vector<Hypothesis>> Decoder::translate(const std::vector<Sentence>& sources, const Options& options) {
  if (options.beam < 1 || options.beam > kWidest || options.nbest < 1 || options.nbest > options.beam)
    throw std::invalid_argument("beam and nbest must be at least 1, nbest at most the beam, the beam at most " +
                                std::to_string(kWidest));
  const size_t rows = sources.size() * static_cast<size_t>(options.beam);
  if (rows > kMostSlots || rows * 2 * static_cast<size_t>(options.beam) > kMostCandidates)
    throw std::invalid_argument(std::to_string(sources.size()) + " sentences with a beam of " +
                                std::to_string(options.beam) + " are too many at once; use a smaller batch");
  if (options.max_length_offset < 1 || !(options.max_length_factor >= 0))
    throw std::invalid_argument("the longest translation must have at least one token");
  const std::lock_guard lock(mutex_);
  check_ids(sources, model_->config.source_vocab, "source");
  if (sources.empty()) return {};
  return spread<std::vector<Hypothesis>>(sources.size(), rows, [&](State& state, const std::vector<size_t>& chosen) {
    return state.translate(pick(sources, chosen), options);
  });
}

std::vector<std::vector<float>> Decoder::score(const std::vector<Sentence>& sources,
                                               const std::vector<Sentence>& targets) {
  if (sources.size() != targets.size()) throw std::invalid_argument("as many targets as sources are needed");
  const std::lock_guard lock(mutex_);
  check_ids(sources, model_->config.source_vocab, "source");
  check_ids(targets, model_->config.target_vocab, "target");
  if (sources.empty()) return {};
  return spread<std::vector<float>>(sources.size(), sources.size(),
                                    [&](State& state, const std::vector<size_t>& chosen) {
                                      return state.score(pick(sources, chosen), pick(targets, chosen));
                                    });
}

size_t Decoder::workspace_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = team_->network.bytes();
  for (const std::unique_ptr<State>& single : singles_)
    if (single) bytes += single->network.bytes();
  return bytes;
}

}  // namespace hat
