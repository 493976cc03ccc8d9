// The forward passes of one model on a team of threads: the encoder, and decoder steps over rows of hypotheses.
#pragma once
#include <memory>
#include <vector>

#include "engine/logits.h"
#include "engine/model.h"
#include "engine/team.h"
#include "engine/workspace.h"

namespace hat {

using Sentence = std::vector<int>;  // token ids

constexpr int kPad = 1, kEos = 2;  // <pad> and </s> of every artefact

// One hypothesis in a step.
struct Row {
  int slot;              // where the cache keeps the keys and values of this step
  int sentence;          // index of the source
  int token;             // input of the step
  const int* ancestors;  // the slots of the hypothesis's earlier steps
};

class Network {
 public:
  // `spin`: as for Team.
  Network(std::shared_ptr<const Model> model, int threads, bool spin);

  Team& team() { return team_; }
  // Bytes of activations and caches.
  size_t bytes() const;

  // Prepares a run over `sources`, which must outlive it, with hypotheses in the slots 0 … slots − 1 and up to
  // `candidates` candidates for the next token of each.
  void begin(const std::vector<Sentence>& sources, int slots, int candidates);

  // Encodes the sources. Then, for every step: plan(step) adds the rows, the decoder runs, read(step) reads the
  // logits. Ends with the first step that has no rows.
  template <class Plan, class Read>
  void run(const Plan& plan, const Read& read) {
    team_.check_process();
    for (const Range& group : groups_) encode(group);
    for (int step = 0;; ++step) {
      rows_.clear();
      logits_.clear();
      plan(step);
      if (rows_.empty()) return;
      extend(step);
      decode(step);
      read(step);
    }
  }

  void add_row(const Row& row, const LogitRequest& request) {
    rows_.push_back(row);
    logits_.add_row(request);
  }
  // Of the rows in the order in which they were added.
  Logits& logits() { return logits_; }

 private:
  struct TokenPlace {
    int sentence, position;
  };

  // Memory of one member of the team.
  struct Scratch {
    Buffer<float> context, attention, logits;
    std::vector<const float*> kv_rows;
  };

  void group_sentences();
  void allocate(int longest);
  void extend(int step);

  void encode(const Range& group);
  void encode_layer(int index, const Range& group);
  void attend_within(const EncoderLayer& layer, const Range& group);
  void compute_cross_kv(const Range& group, int from_last);
  void decode(int step);
  void decode_layer(int index, int cache, int step);
  void attend_to_target(const DecoderLayer& layer, int cache, int step);
  void attend_to_source(int index);

  void multiply(const Matrix& weights, int rows, bool relu = false);
  // Calls work(row, scratch of the member that does it); `grain` as for Team::parallel_for.
  template <class Work>
  void for_each_row(int rows, int grain, const Work& work);
  void multiply_and_add(const Matrix& weights, const BranchNorm& norm, int rows);
  void feed_forward(const Matrix& fc1, const Matrix& fc2, const BranchNorm& norm, int rows);
  // Calls token(row) and position(row), a row of a table of positions.
  template <class Token, class Position>
  void embed(const Matrix& embedding, const Matrix& factor, const Norm& next, int dim, int rows, const Token& token,
             const Position& position);
  void attend(Scratch& scratch, const float* query, int keys, const AttentionShape& shape, int row) const;
  void enter(const Norm& norm, int dim, int rows);
  void normalize(int row, const Norm& norm, int dim) const;
  void add_residual(int row, const BranchNorm& norm, int dim) const;
  void prepare(const float* values, int inputs, int row) const;

  Operand operand() const { return {operand_.get(), operand_stride_, operand_scales_.get(), operand_sums_.get()}; }
  float* x(int row) const { return x_ + row * x_stride_; }
  float* y(int row) const { return y_ + row * y_stride_; }
  float* cross_kv_row(int layer, int sentence, int key) const;
  size_t cross_kv_stride(int layer) const { return round_up(2 * config_.decoder[layer].cross.qkv_dim, kBlock); }
  int sentence_length(int sentence) const { return offsets_[sentence + 1] - offsets_[sentence]; }
  TokenPlace locate(const Range& group, int token) const;

  const std::shared_ptr<const Model> model_;
  const ModelConfig& config_;
  const Kernels& kernels_;
  Team team_;
  Positions source_positions_, target_positions_;

  const std::vector<Sentence>* sources_ = nullptr;
  std::vector<int> offsets_;  // the first token of each sentence among those of all; one more at the end
  std::vector<Range> groups_;
  int group_rows_ = 0, slots_ = 0;

  Buffer<float> x_, y_;  // the residual stream; outputs of products
  Buffer<std::byte> operand_;
  Buffer<float> operand_scales_;
  Buffer<int32_t> operand_sums_;
  size_t x_stride_ = 0, y_stride_ = 0, operand_stride_ = 0;
  std::vector<Buffer<float>> cross_kv_;  // per decoder layer: keys and values of cross-attention, if it has one
  KeyValueCache cache_;
  std::vector<Scratch> scratch_;

  std::vector<Row> rows_;
  Logits logits_;
};

}  // namespace hat
