// One model's forward passes on a team of threads: the encoder, and decoder steps over rows of hypotheses.
#pragma once
#include <memory>
#include <vector>

#include "engine/model.h"
#include "engine/team.h"
#include "engine/workspace.h"

namespace hat {

using Sentence = std::vector<int>;

constexpr int kPad = 1, kEos = 2;

struct Range {
  int begin, end;
};

// One hypothesis in a step. `slot`: where the cache keeps its keys and values; `word`: the token that the
// step takes in.
struct Row {
  int slot, sentence, word;
};

// What is asked of the logits of a row; see LogitRow.
struct Question {
  int wanted = -1, capacity = 0;
  int forbidden[2] = {-1, -1};
};

// A candidate for the next word.
struct Word {
  float logit;
  int id;
};

class Network {
 public:
  // `spin`: as in Team.
  Network(std::shared_ptr<const Model> model, int threads, bool spin);

  Team& team() { return team_; }
  size_t bytes() const;

  // Gets ready to encode `sources`, which must outlive the run, and to decode hypotheses in slots
  // 0 … slots − 1, of whose next words at most `capacity` candidates are asked for.
  void begin(const std::vector<Sentence>& sources, int slots, int capacity);

  // Encodes; then decodes steps as long as `plan(step)` adds rows, and calls `take(step)` to read the logits.
  template <class Plan, class Take>
  void run(const Plan& plan, const Take& take) {
    team_.check_process();
    for (const Range& group : groups_) encode(group);
    for (int step = 0;; ++step) {
      rows_.clear();
      plan(step);
      if (rows_.empty()) return;
      make_room(step);
      decode(step);
      take(step);
    }
  }

  // For `plan`: the next row, and what is asked of it.
  void add_row(const Row& row, const Question& question);
  // For `take`: log Σ e^logit, the wanted id's logit, and the best candidates of a row, best first, as many as
  // its question asks for; the next call overwrites them.
  float log_sum(int row) const;
  float wanted_logit(int row) const;
  const std::vector<Word>& candidates(int row);

  // Per slot: the slots in which its hypothesis's earlier positions were cached. Instead of moving the
  // cache, a hypothesis that branches takes over its parent's entry and adds the parent.
  std::vector<std::vector<int>> ancestors;

 private:
  struct Place {
    int sentence, token;
  };

  struct Member {
    Buffer<float> context, scratch, attention;
    std::vector<const float*> rows;
  };

  void make_groups();
  void make_buffers(int longest);
  void make_room(int step);

  void encode(const Range& group);
  void remember(const Range& group, int from_last);
  void decode(int step);
  void decode_layer(int index, int step);

  void multiply(const Matrix& weights, int rows, bool relu);
  // `least`: the fewest rows that are worth sharing.
  template <class Work>
  void each_row(int rows, int least, const Work& work);
  void feed_forward(const Matrix& fc1, const Matrix& fc2, const Norm& own, const Norm& next, int rows);
  void enter(const Matrix& embedding, int id, const float* position, const Norm& next, int dim, int row) const;
  void attend(Member& own, const float* query, int keys, int heads, int row) const;
  void ready(int row, const Norm& next, int dim) const;
  void residual(int row, const Norm& own, const Norm& next, int dim) const;
  void prepare(const float* values, int inputs, int row) const;

  Operand operand() const { return {operand_.get(), row_bytes_, operand_scales_.get(), operand_sums_.get()}; }
  float* x(int row) const { return x_ + row * x_stride_; }
  float* y(int row) const { return y_ + row * y_stride_; }
  float* memory_row(int layer, int sentence, int key) const;
  int sentence_length(int sentence) const { return offsets_[sentence + 1] - offsets_[sentence]; }
  Place locate(const Range& group, int token) const;

  const std::shared_ptr<const Model> model_;
  const Config& c_;
  const Kernels& k_;
  Team team_;
  Positions source_positions_, target_positions_;

  const std::vector<Sentence>* sources_ = nullptr;
  std::vector<int> offsets_;  // first token of each sentence among all; one more at the end
  std::vector<Range> groups_;
  int group_rows_ = 0, slots_ = 0, capacity_ = 0, chunks_ = 0;

  Buffer<float> x_, y_;  // residual stream, and products
  Buffer<std::byte> operand_;
  Buffer<float> operand_scales_;
  Buffer<int32_t> operand_sums_;
  size_t x_stride_ = 0, y_stride_ = 0, row_bytes_ = 0, memory_stride_ = 0;
  std::vector<Buffer<float>> memories_;  // per decoder layer: cross-attention keys and values
  KeyValueCache cache_;
  std::vector<Member> members_;

  std::vector<Row> rows_;
  std::vector<LogitRow> logit_rows_;  // per member, per row
  Buffer<float> chunk_max_, chunk_sum_, candidate_values_;
  Buffer<int32_t> candidate_ids_;
  std::vector<Word> words_;
};

}  // namespace hat
