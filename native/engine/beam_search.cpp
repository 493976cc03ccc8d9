#include "engine/beam_search.h"

#include <algorithm>
#include <cmath>

#include "engine/profile.h"

namespace hat {
namespace {

// A sentence whose translation is not finished.
struct Active {
  int index;       // of the source
  int first_slot;  // its hypotheses use the slots first_slot, first_slot + 1, …
  int width;       // number of its hypotheses, which are consecutive rows
  int max_length;
};

struct ScoredToken {
  int id;
  float score;
};

// One more token for a hypothesis.
struct Continuation {
  float total;  // log-probability of the hypothesis with the token
  int parent;   // place of the hypothesis among those of its sentence
  ScoredToken token;
};

bool is_better(const Continuation& a, const Continuation& b) {
  if (a.total != b.total) return a.total > b.total;
  return a.parent != b.parent ? a.parent < b.parent : a.token.id < b.token.id;
}

class BeamSearch {
 public:
  BeamSearch(Network& network, const std::vector<Sentence>& sources, const DecodeOptions& options)
      : network_(network), options_(options), finished_(sources.size()) {
    const size_t slots = sources.size() * static_cast<size_t>(options.beam);
    network.begin(sources, static_cast<int>(slots), 2 * options.beam);
    for (int i = 0; i < static_cast<int>(sources.size()); ++i) {
      const double most = std::floor(options.max_length_factor * static_cast<double>(sources[i].size())) +
                          options.max_length_offset;
      active_.push_back({i, i * options.beam, 1, static_cast<int>(std::min<double>(most, kMaxTokens))});
    }
    totals_.resize(slots);
    next_totals_.resize(slots);
    ancestors_.resize(slots);
    next_ancestors_.resize(slots);
    inputs_.emplace_back(slots, ScoredToken{kEos, 0.0f});  // every target starts with </s>
  }

  std::vector<std::vector<Hypothesis>> run() {
    network_.run([this](int step) { add_rows(step); }, [this](int step) { advance(step); });
    for (std::vector<Hypothesis>& hypotheses : finished_) {
      std::stable_sort(hypotheses.begin(), hypotheses.end(),
                       [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
      if (hypotheses.size() > static_cast<size_t>(options_.nbest)) hypotheses.resize(options_.nbest);
    }
    charge(Part::beam);
    return std::move(finished_);
  }

 private:
  void add_rows(int step) {
    for (const Active& sentence : active_) {
      LogitRequest request{.forbidden = {kPad, -1}, .candidates = 2 * options_.beam};
      if (step + 1 >= sentence.max_length)
        request = {.wanted = kEos};  // no other token may come
      else if (step + 1 < options_.min_length)
        request.forbidden[1] = kEos;
      for (int slot = sentence.first_slot; slot < sentence.first_slot + sentence.width; ++slot)
        network_.add_row({slot, sentence.index, inputs_[step][slot].id, ancestors_[slot].data()}, request);
    }
  }

  // As published (docs/reference.md, Beam search), with a beam of K: of the 2K best continuations, an </s> among the
  // first K ends its hypothesis, and the first K others go on. A sentence with K ended hypotheses is finished.
  void advance(int step) {
    const size_t beam = options_.beam;
    inputs_.emplace_back(totals_.size());
    size_t still_active = 0;
    int row = 0;
    for (Active sentence : active_) {
      const bool at_limit = step + 1 >= sentence.max_length;
      rank_continuations(sentence, row, at_limit);
      row += sentence.width;
      std::vector<Hypothesis>& finished = finished_[sentence.index];
      for (size_t rank = 0; rank < std::min(continuations_.size(), beam) && finished.size() < beam; ++rank)
        if (continuations_[rank].token.id == kEos && std::isfinite(continuations_[rank].total))
          finished.push_back(finish(sentence, continuations_[rank], step));
      if (finished.size() >= beam || at_limit) continue;
      sentence.width = extend_hypotheses(sentence, step);
      if (sentence.width) active_[still_active++] = sentence;
    }
    active_.resize(still_active);
    totals_.swap(next_totals_);
    ancestors_.swap(next_ancestors_);
  }

  // Fills continuations_ for a sentence whose rows start at `row`.
  void rank_continuations(const Active& sentence, int row, bool at_limit) {
    Logits& logits = network_.logits();
    continuations_.clear();
    for (int i = 0; i < sentence.width; ++i) {
      const float log_sum = logits.log_sum(row + i), before = totals_[sentence.first_slot + i];
      const auto add = [&](float logit, int token) {
        const float score = logit - log_sum, total = before + score;
        continuations_.push_back({std::isnan(total) ? kImpossible : total, i, {token, score}});
      };
      if (at_limit)
        add(logits.wanted_logit(row + i), kEos);
      else
        for (const TokenLogit& candidate : logits.candidates(row + i)) add(candidate.logit, candidate.token);
    }
    const size_t count = std::min(continuations_.size(), 2 * static_cast<size_t>(options_.beam));
    std::partial_sort(continuations_.begin(), continuations_.begin() + static_cast<ptrdiff_t>(count),
                      continuations_.end(), is_better);
    continuations_.resize(count);
  }

  // Fills the slots of a sentence for the next step. Returns how many hypotheses go on.
  int extend_hypotheses(const Active& sentence, int step) {
    int width = 0;
    for (const Continuation& continuation : continuations_) {
      if (width == options_.beam) break;
      if (continuation.token.id == kEos || continuation.total == kImpossible) continue;
      const int parent = sentence.first_slot + continuation.parent, slot = sentence.first_slot + width++;
      next_ancestors_[slot] = ancestors_[parent];
      next_ancestors_[slot].push_back(parent);
      next_totals_[slot] = continuation.total;
      inputs_[step + 1][slot] = continuation.token;
    }
    return width;
  }

  Hypothesis finish(const Active& sentence, const Continuation& last, int step) const {
    Hypothesis hypothesis;
    const auto add = [&hypothesis](const ScoredToken& token) {
      hypothesis.tokens.push_back(token.id);
      hypothesis.token_scores.push_back(token.score);
    };
    const int slot = sentence.first_slot + last.parent;
    for (int i = 1; i <= step; ++i) add(inputs_[i][i < step ? ancestors_[slot][i] : slot]);
    add(last.token);
    hypothesis.score = static_cast<float>(last.total / std::pow(step + 1, options_.length_penalty));
    return hypothesis;
  }

  Network& network_;
  const DecodeOptions& options_;
  std::vector<Active> active_;
  std::vector<std::vector<Hypothesis>> finished_;             // per source
  std::vector<Continuation> continuations_;                   // the 2K best of one sentence, best first
  std::vector<float> totals_, next_totals_;                   // per slot: log-probability of the hypothesis
  std::vector<std::vector<int>> ancestors_, next_ancestors_;  // per slot: the slots of the hypothesis's earlier steps
  std::vector<std::vector<ScoredToken>> inputs_;              // per step and slot: the token that the decoder reads
};

}  // namespace

std::vector<std::vector<Hypothesis>> beam_search(Network& network, const std::vector<Sentence>& sources,
                                                 const DecodeOptions& options) {
  return BeamSearch(network, sources, options).run();
}

}  // namespace hat
