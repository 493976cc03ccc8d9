#include "engine/network.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hat {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// Source tokens encoded together: enough rows for the products, little enough to stay in the cache.
constexpr int kGroupTokens = 512;
// Read in less time than waking another thread takes (about 0.3 µs): weights of a product, floats of rows.
constexpr size_t kBytesToShare = 8192;
constexpr int kFloatsToShare = 1024;

// The least work that is worth sharing: blocks of outputs, and rows of floats that are read a few times.
int least_blocks(const Matrix& weights) {
  const size_t each = weights.stored_groups * kGroupBytes * kBlock;
  return std::max(1, static_cast<int>(kBytesToShare / each));
}

int least_rows(int floats) { return std::max(1, kFloatsToShare / floats); }

}  // namespace

Network::Network(std::shared_ptr<const Model> model, int threads, bool spin)
    : model_(std::move(model)),
      c_(model_->config),
      k_(model_->kernels),
      team_(threads, spin),
      source_positions_(c_.encoder_super_dim, c_.encoder_dim),
      target_positions_(c_.decoder_super_dim, c_.decoder_dim) {}

size_t Network::bytes() const {
  size_t bytes = cache_.bytes() + operand_.bytes() + x_.bytes() + y_.bytes();
  for (const Buffer<float>& memory : memories_) bytes += memory.bytes();
  return bytes;
}

// ---- memory ----

void Network::begin(const std::vector<Sentence>& sources, int slots, int capacity) {
  sources_ = &sources;
  slots_ = slots;
  capacity_ = capacity;
  int longest = 0;
  offsets_.assign(1, 0);
  for (const Sentence& source : sources) {
    longest = std::max(longest, static_cast<int>(source.size()));
    offsets_.push_back(offsets_.back() + static_cast<int>(source.size()));
  }
  source_positions_.extend(longest + kPad + 1);
  make_groups();
  make_buffers(longest);
  ancestors.resize(slots);
  for (std::vector<int>& slot : ancestors) slot.clear();
}

// Consecutive sentences whose tokens are encoded together.
void Network::make_groups() {
  groups_.clear();
  group_rows_ = 0;
  for (int first = 0; first < static_cast<int>(sources_->size());) {
    int last = first + 1;
    while (last < static_cast<int>(sources_->size()) && offsets_[last + 1] - offsets_[first] <= kGroupTokens) ++last;
    groups_.push_back({first, last});
    group_rows_ = std::max(group_rows_, offsets_[last] - offsets_[first]);
    first = last;
  }
}

void Network::make_buffers(int longest) {
  const size_t rows = std::max(slots_, group_rows_), members = team_.size();
  int widest_x = std::max(c_.encoder_dim, c_.decoder_dim), widest_y = std::max(widest_x, 3 * c_.qkv_dim);
  int most_attended = 1;
  for (const EncoderShape& layer : c_.encoder) widest_y = std::max(widest_y, layer.ffn_dim);
  for (const DecoderShape& layer : c_.decoder) {
    widest_y = std::max(widest_y, layer.ffn_dim);
    most_attended = std::max(most_attended, layer.attended);
  }
  x_stride_ = round_up(widest_x, kBlock);
  y_stride_ = round_up(widest_y, kBlock);
  memory_stride_ = round_up(2 * c_.qkv_dim, kBlock);
  row_bytes_ = round_up(y_stride_ * (in_int8(c_.precision) ? 1 : 4), 64);
  x_.grow(rows * x_stride_);
  y_.grow(rows * y_stride_);
  operand_.grow(rows * row_bytes_);
  operand_scales_.grow(rows);
  operand_sums_.grow(rows);
  memories_.resize(c_.decoder.size());
  for (size_t i = 0; i < c_.decoder.size(); ++i)
    memories_[i].grow(memory_stride_ * offsets_.back() * c_.decoder[i].attended);
  cache_.start(static_cast<int>(c_.decoder.size()), slots_, 2 * static_cast<size_t>(c_.qkv_dim));
  chunks_ = (c_.target_vocab + kChunk - 1) / kChunk;
  chunk_max_.grow(static_cast<size_t>(slots_) * chunks_);
  chunk_sum_.grow(static_cast<size_t>(slots_) * chunks_);
  candidate_values_.grow(members * slots_ * capacity_);
  candidate_ids_.grow(members * slots_ * capacity_);
  logit_rows_.resize(members * slots_);
  members_.resize(members);
  for (Member& own : members_) {
    const size_t keys = std::max(longest * most_attended, 256);
    own.context.grow(c_.qkv_dim);
    own.scratch.grow(8 * kChunk);
    own.attention.grow(keys);
    own.rows.resize(keys);
  }
}

void Network::make_room(int step) {
  target_positions_.extend(step + kPad + 2);
  cache_.extend(step);
  for (Member& own : members_)
    if (static_cast<int>(own.rows.size()) <= step) {
      own.rows.resize(2 * step);
      own.attention.grow(2 * step);
    }
}

void Network::add_row(const Row& row, const Question& question) {
  const size_t index = rows_.size(), chunks = index * chunks_;
  rows_.push_back(row);
  for (int member = 0; member < team_.size(); ++member) {
    const size_t place = static_cast<size_t>(member) * slots_ + index;
    logit_rows_[place] = {chunk_max_ + chunks,
                          chunk_sum_ + chunks,
                          kNever,
                          question.wanted,
                          {question.forbidden[0], question.forbidden[1]},
                          question.capacity,
                          0,
                          candidate_values_ + place * capacity_,
                          candidate_ids_ + place * capacity_};
  }
}

float Network::log_sum(int row) const {
  const float* peaks = chunk_max_ + static_cast<size_t>(row) * chunks_;
  const float* sums = chunk_sum_ + static_cast<size_t>(row) * chunks_;
  const float peak = *std::max_element(peaks, peaks + chunks_);
  float total = 0;
  for (int chunk = 0; chunk < chunks_; ++chunk) total += sums[chunk] * std::exp(peaks[chunk] - peak);
  return peak + std::log(total);
}

float Network::wanted_logit(int row) const {
  float logit = kNever;
  for (int member = 0; member < team_.size(); ++member)
    logit = std::max(logit, logit_rows_[static_cast<size_t>(member) * slots_ + row].wanted_logit);
  return logit;
}

// The best candidates of the whole vocabulary, from the best that each member saw in its part.
const std::vector<Word>& Network::candidates(int row) {
  words_.clear();
  for (int member = 0; member < team_.size(); ++member) {
    const LogitRow& logits = logit_rows_[static_cast<size_t>(member) * slots_ + row];
    for (int i = 0; i < logits.count; ++i) words_.push_back({logits.values[i], logits.ids[i]});
  }
  if (team_.size() == 1) return words_;
  std::sort(words_.begin(), words_.end(),
            [](const Word& a, const Word& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; });
  words_.resize(std::min(words_.size(), static_cast<size_t>(logit_rows_[row].capacity)));
  return words_;
}

// ---- work that all members share ----

void Network::multiply(const Matrix& weights, int rows, bool relu) {
  team_.share(blocks_of(weights), least_blocks(weights), [&](int, int begin, int end) {
    k_.multiply(weights, operand(), 0, rows, begin, end, relu, y_ + begin * kBlock, y_stride_);
  });
}

template <class Work>
void Network::each_row(int rows, int least, const Work& work) {
  team_.share(rows, least, [&](int member, int begin, int end) {
    for (int row = begin; row < end; ++row) work(row, members_[member]);
  });
}

void Network::feed_forward(const Matrix& fc1, const Matrix& fc2, const Norm& own, const Norm& next, int rows) {
  multiply(fc1, rows, true);
  each_row(rows, least_rows(fc1.outputs), [&](int row, Member&) { prepare(y(row), fc1.outputs, row); });
  multiply(fc2, rows, false);
  each_row(rows, least_rows(fc2.outputs), [&](int row, Member&) { residual(row, own, next, fc2.outputs); });
}

// ---- what one member does with one row; all leave the row prepared for the next product, which reads x or,
// in a pre-norm model, x normalised by what comes next ----

void Network::prepare(const float* values, int inputs, int row) const {
  k_.prepare(c_.precision, values, inputs, row, operand());
}

void Network::enter(const Matrix& embedding, int id, const float* position, const Norm& next, int dim,
                    int row) const {
  model_->embed(embedding, id, dim, static_cast<float>(std::sqrt(static_cast<double>(dim))), x(row));
  for (int i = 0; i < dim; ++i) x(row)[i] += position[i];
  if (c_.pre_norm) return ready(row, next, dim);
  prepare(x(row), dim, row);
}

void Network::ready(int row, const Norm& next, int dim) const {
  k_.add_norm(x(row), nullptr, next.gain, next.bias, dim, y(row));
  prepare(y(row), dim, row);
}

void Network::attend(Member& own, const float* query, int keys, int heads, int row) const {
  k_.attend(query, own.rows.data(), keys, heads, c_.qkv_dim / heads, own.attention.get(), own.context.get());
  prepare(own.context.get(), c_.qkv_dim, row);
}

// `own`: the norm of the branch that ends here; `next`: that of the one that begins.
void Network::residual(int row, const Norm& own, const Norm& next, int dim) const {
  const Norm& norm = c_.pre_norm ? next : own;
  float* out = c_.pre_norm ? y(row) : x(row);
  k_.add_norm(x(row), y(row), norm.gain, norm.bias, dim, out);
  prepare(out, dim, row);
}

// ---- encoder ----

void Network::encode(const Range& group) {
  const int first = offsets_[group.begin], rows = offsets_[group.end] - first, light = least_rows(c_.encoder_dim);
  each_row(rows, light, [&](int row, Member&) {
    const Place place = locate(group, first + row);
    enter(model_->source_embedding, (*sources_)[place.sentence][place.token],
          source_positions_.row(kPad + 1 + place.token), model_->encoder[0].attention_norm, c_.encoder_dim, row);
  });
  const int layers = static_cast<int>(model_->encoder.size());
  for (int index = 0; index < layers; ++index) {
    const EncoderLayer& layer = model_->encoder[index];
    multiply(layer.qkv, rows, false);
    each_row(rows, 1, [&](int row, Member& own) {
      const int sentence = locate(group, first + row).sentence, length = sentence_length(sentence);
      for (int i = 0; i < length; ++i) own.rows[i] = y(offsets_[sentence] - first + i) + c_.qkv_dim;
      attend(own, y(row), length, layer.shape.heads, row);
    });
    multiply(layer.out, rows, false);
    each_row(rows, light, [&](int row, Member&) {
      residual(row, layer.attention_norm, layer.ffn_norm, c_.encoder_dim);
    });
    feed_forward(layer.fc1, layer.fc2, layer.ffn_norm, model_->encoder_norm, rows);
    remember(group, layers - 1 - index);
    if (c_.pre_norm && index + 1 < layers)
      each_row(rows, light, [&](int row, Member&) {
        ready(row, model_->encoder[index + 1].attention_norm, c_.encoder_dim);
      });
  }
}

// Keys and values of every decoder layer that attends to the encoder layer just finished, the
// `from_last`-th from the last; they lie in time after those of the later layers.
void Network::remember(const Range& group, int from_last) {
  for (size_t i = 0; i < model_->decoder.size(); ++i) {
    const DecoderLayer& layer = model_->decoder[i];
    if (from_last >= layer.shape.attended) continue;
    team_.share(blocks_of(layer.cross_kv), least_blocks(layer.cross_kv), [&](int, int begin, int end) {
      for (int sentence = group.begin; sentence < group.end; ++sentence) {
        const int length = sentence_length(sentence);
        float* place = memory_row(static_cast<int>(i), sentence, from_last * length);
        k_.multiply(layer.cross_kv, operand(), offsets_[sentence] - offsets_[group.begin], length, begin, end, false,
                    place + begin * kBlock, memory_stride_);
      }
    });
  }
}

float* Network::memory_row(int layer, int sentence, int key) const {
  const size_t row = static_cast<size_t>(offsets_[sentence]) * c_.decoder[layer].attended + key;
  return memories_[layer] + row * memory_stride_;
}

Network::Place Network::locate(const Range& group, int token) const {
  const auto begin = offsets_.begin();
  const auto next = std::upper_bound(begin + group.begin, begin + group.end + 1, token);
  const int sentence = static_cast<int>(next - begin) - 1;
  return {sentence, token - offsets_[sentence]};
}

// ---- decoder ----

void Network::decode(int step) {
  const int rows = static_cast<int>(rows_.size());
  each_row(rows, least_rows(c_.decoder_dim), [&](int row, Member&) {
    enter(model_->target_embedding, rows_[row].word, target_positions_.row(kPad + 1 + step),
          model_->decoder[0].attention_norm, c_.decoder_dim, row);
  });
  for (size_t index = 0; index < model_->decoder.size(); ++index) decode_layer(static_cast<int>(index), step);
  team_.share(chunks_, 1, [&](int member, int begin, int end) {
    k_.project(model_->output, operand(), &logit_rows_[static_cast<size_t>(member) * slots_], rows, begin, end,
               members_[member].scratch.get());
  });
}

void Network::decode_layer(int index, int step) {
  const DecoderLayer& layer = model_->decoder[index];
  const int rows = static_cast<int>(rows_.size()), light = least_rows(c_.decoder_dim);
  multiply(layer.qkv, rows, false);
  each_row(rows, 1, [&](int row, Member& own) {
    const int slot = rows_[row].slot;
    float* here = cache_.at(index, step, slot);
    std::copy_n(y(row) + c_.qkv_dim, 2 * c_.qkv_dim, here);
    for (int i = 0; i < step; ++i) own.rows[i] = cache_.at(index, i, ancestors[slot][i]);
    own.rows[step] = here;
    attend(own, y(row), step + 1, layer.shape.self_heads, row);
  });
  multiply(layer.out, rows, false);
  each_row(rows, light, [&](int row, Member&) {
    residual(row, layer.attention_norm, layer.cross_norm, c_.decoder_dim);
  });
  multiply(layer.cross_q, rows, false);
  each_row(rows, 1, [&](int row, Member& own) {
    const int sentence = rows_[row].sentence, keys = sentence_length(sentence) * layer.shape.attended;
    const float* first = memory_row(index, sentence, 0);
    for (int i = 0; i < keys; ++i) own.rows[i] = first + i * memory_stride_;
    attend(own, y(row), keys, layer.shape.cross_heads, row);
  });
  multiply(layer.cross_out, rows, false);
  each_row(rows, light, [&](int row, Member&) { residual(row, layer.cross_norm, layer.ffn_norm, c_.decoder_dim); });
  const bool last = index + 1 == static_cast<int>(model_->decoder.size());
  const Norm& next = last ? model_->decoder_norm : model_->decoder[index + 1].attention_norm;
  feed_forward(layer.fc1, layer.fc2, layer.ffn_norm, next, rows);
}

}  // namespace hat
