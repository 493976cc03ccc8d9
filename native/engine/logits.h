// The logits of one step, as far as a search needs them. All members of a team fill them together.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/workspace.h"
#include "kernels/kernels.h"

namespace hat {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();  // log-probability

struct TokenLogit {
  float logit;
  int token;
};

class Logits {
 public:
  // Makes room for `rows` rows with up to `candidates` candidates each.
  void start(int vocabulary, int members, int rows, int candidates) {
    chunks_ = (vocabulary + kChunk - 1) / kChunk;
    members_ = members;
    capacity_ = rows;
    candidates_ = candidates;
    const size_t all_rows = static_cast<size_t>(members) * rows;
    rows_.resize(all_rows);
    chunk_max_.grow(static_cast<size_t>(rows) * chunks_);
    chunk_sum_.grow(static_cast<size_t>(rows) * chunks_);
    candidate_values_.grow(all_rows * candidates);
    candidate_ids_.grow(all_rows * candidates);
  }

  // Begins a step without rows.
  void clear() { count_ = 0; }

  void add_row(const LogitRequest& request) {
    const size_t row = count_++, chunks = row * chunks_;
    for (int member = 0; member < members_; ++member) {
      const size_t candidates = (static_cast<size_t>(member) * capacity_ + row) * candidates_;
      rows_of(member)[row] = {chunk_max_ + chunks, chunk_sum_ + chunks, kImpossible, request, 0,
                              candidate_values_ + candidates, candidate_ids_ + candidates};
    }
  }

  // The rows that `member` fills: every member has all rows, with the candidates of its chunks.
  LogitRow* rows_of(int member) { return rows_.data() + static_cast<size_t>(member) * capacity_; }
  int chunks() const { return chunks_; }

  // log Σ e^logit over the vocabulary.
  float log_sum(int row) const {
    const float* peaks = chunk_max_ + static_cast<size_t>(row) * chunks_;
    const float* sums = chunk_sum_ + static_cast<size_t>(row) * chunks_;
    const float peak = *std::max_element(peaks, peaks + chunks_);
    float total = 0;
    for (int chunk = 0; chunk < chunks_; ++chunk) total += sums[chunk] * std::exp(peaks[chunk] - peak);
    return peak + std::log(total);
  }

  float wanted_logit(int row) {
    float logit = kImpossible;
    for (int member = 0; member < members_; ++member) logit = std::max(logit, rows_of(member)[row].wanted_logit);
    return logit;
  }

  // Best first, of equal logits the lower token first. The next call overwrites them.
  const std::vector<TokenLogit>& candidates(int row) {
    merged_.clear();
    for (int member = 0; member < members_; ++member) {
      const LogitRow& logits = rows_of(member)[row];
      for (int i = 0; i < logits.count; ++i) merged_.push_back({logits.values[i], logits.ids[i]});
    }
    if (members_ == 1) return merged_;
    std::sort(merged_.begin(), merged_.end(), [](const TokenLogit& a, const TokenLogit& b) {
      return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
    });
    merged_.resize(std::min(merged_.size(), static_cast<size_t>(rows_[row].request.candidates)));
    return merged_;
  }

 private:
  int chunks_ = 0, members_ = 0, capacity_ = 0, count_ = 0, candidates_ = 0;
  std::vector<LogitRow> rows_;
  Buffer<float> chunk_max_, chunk_sum_, candidate_values_;
  Buffer<int32_t> candidate_ids_;
  std::vector<TokenLogit> merged_;
};

}  // namespace hat
