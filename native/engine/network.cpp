#include "engine/network.h"

#include <algorithm>
#include <cmath>

#include "engine/profile.h"

namespace hat {
namespace {

// Source tokens that are encoded together: enough rows for the products, few enough to stay in the processor's cache.
constexpr int kGroupTokens = 512;
// Read in less time than waking another thread takes (0.3 µs): bytes of weights in a product, floats of reread rows.
constexpr size_t kGrainBytes = 8192;
constexpr int kGrainFloats = 1024;

// Grains for Team::parallel_for over the blocks of a matrix, and over rows.
int grain_of_blocks(const Matrix& weights) {
  return std::max(1, static_cast<int>(kGrainBytes / (weights.stored_groups * kGroupBytes * kBlock)));
}

int grain_of_rows(int floats) { return std::max(1, kGrainFloats / floats); }

}  // namespace

Network::Network(std::shared_ptr<const Model> model, int threads, bool spin)
    : model_(std::move(model)),
      config_(model_->config),
      kernels_(model_->kernels),
      team_(threads, spin),
      source_positions_(config_.encoder_super_dim, config_.encoder_dim),
      target_positions_(config_.decoder_super_dim, config_.decoder_dim),
      scratch_(threads) {}

size_t Network::bytes() const {
  size_t bytes = cache_.bytes() + operand_.bytes() + x_.bytes() + y_.bytes();
  for (const Buffer<float>& layer : cross_kv_) bytes += layer.bytes();
  return bytes;
}

// ---- memory ----

void Network::begin(const std::vector<Sentence>& sources, int slots, int candidates) {
  charge(Part::outside);
  sources_ = &sources;
  slots_ = slots;
  int longest = 0;
  offsets_.assign(1, 0);
  for (const Sentence& source : sources) {
    longest = std::max(longest, static_cast<int>(source.size()));
    offsets_.push_back(offsets_.back() + static_cast<int>(source.size()));
  }
  source_positions_.extend(longest + kPad + 1);
  group_sentences();
  allocate(longest);
  logits_.start(config_.target_vocab, team_.size(), slots, candidates);
  charge(Part::beam);
}

// Groups consecutive sentences whose tokens are encoded together.
void Network::group_sentences() {
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

void Network::allocate(int longest) {
  const size_t rows = std::max(slots_, group_rows_);
  const int widest_x = std::max({config_.encoder_dim, config_.decoder_dim, config_.embedding_rank});
  int widest_y = widest_x, widest_qkv = 1, most_attended = 1;
  for (const EncoderShape& layer : config_.encoder) {
    widest_y = std::max({widest_y, layer.ffn_dim, 3 * layer.attention.qkv_dim});
    widest_qkv = std::max(widest_qkv, layer.attention.qkv_dim);
  }
  std::vector<size_t> cache_widths;
  for (const DecoderShape& layer : config_.decoder) {
    widest_y = std::max({widest_y, layer.ffn_dim, 3 * layer.attention.qkv_dim, layer.cross.qkv_dim});
    widest_qkv = std::max({widest_qkv, layer.attention.qkv_dim, layer.cross.qkv_dim});
    most_attended = std::max(most_attended, layer.encoder_layers_attended);
    cache_widths.insert(cache_widths.end(), layer.passes, 2 * static_cast<size_t>(layer.attention.qkv_dim));
  }
  x_stride_ = round_up(widest_x, kBlock);
  y_stride_ = round_up(widest_y, kBlock);
  operand_stride_ = round_up(y_stride_ * (multiplies_in_int8(config_.precision) ? 1 : 4), kCacheLine);
  x_.grow(rows * x_stride_);
  y_.grow(rows * y_stride_);
  operand_.grow(rows * operand_stride_);
  operand_scales_.grow(rows);
  operand_sums_.grow(rows);
  cross_kv_.resize(config_.decoder.size());
  for (size_t i = 0; i < cross_kv_.size(); ++i)
    cross_kv_[i].grow(cross_kv_stride(static_cast<int>(i)) * offsets_.back() *
                      config_.decoder[i].encoder_layers_attended);
  cache_.start(cache_widths, slots_);
  for (Scratch& scratch : scratch_) {
    const size_t keys = std::max(longest * most_attended, 256);
    scratch.context.grow(widest_qkv);
    scratch.logits.grow(kLogitScratch);
    scratch.attention.grow(keys);
    scratch.kv_rows.resize(keys);
  }
}

// Makes room for one more step.
void Network::extend(int step) {
  target_positions_.extend(step + kPad + 2);
  cache_.extend(step);
  for (Scratch& scratch : scratch_)
    if (static_cast<int>(scratch.kv_rows.size()) <= step) {
      scratch.kv_rows.resize(2 * step);
      scratch.attention.grow(2 * step);
    }
}

// ---- work that all members of the team share ----

void Network::multiply(const Matrix& weights, int rows, bool relu) {
  team_.parallel_for(blocks_of(weights), grain_of_blocks(weights), [&](int, int begin, int end) {
    kernels_.multiply(weights, operand(), 0, rows, begin, end, relu, y_ + begin * kBlock, y_stride_);
  });
}

template <class Work>
void Network::for_each_row(int rows, int grain, const Work& work) {
  team_.parallel_for(rows, grain, [&](int member, int begin, int end) {
    for (int row = begin; row < end; ++row) work(row, scratch_[member]);
  });
}

// x += weights · row, then the norm; see add_residual.
void Network::multiply_and_add(const Matrix& weights, const BranchNorm& norm, int rows) {
  multiply(weights, rows);
  for_each_row(rows, grain_of_rows(weights.outputs), [&](int row, Scratch&) {
    add_residual(row, norm, weights.outputs);
  });
}

void Network::feed_forward(const Matrix& fc1, const Matrix& fc2, const BranchNorm& norm, int rows) {
  multiply(fc1, rows, true);
  for_each_row(rows, grain_of_rows(fc1.outputs), [&](int row, Scratch&) { prepare(y(row), fc1.outputs, row); });
  multiply_and_add(fc2, norm, rows);
}

// x = the embedding of the token · √dim + position, or its product with the factor.
template <class Token, class Position>
void Network::embed(const Matrix& embedding, const Matrix& factor, const Norm& next, int dim, int rows,
                    const Token& token, const Position& position) {
  const float scale = static_cast<float>(std::sqrt(static_cast<double>(dim)));
  const int rank = config_.embedding_rank;
  if (rank) {
    for_each_row(rows, grain_of_rows(rank), [&](int row, Scratch&) {
      unpack_row(embedding, token(row), rank, scale, kernels_.unsigned_weights, x(row));
      prepare(x(row), rank, row);
    });
    multiply(factor, rows);
  }
  for_each_row(rows, grain_of_rows(dim), [&](int row, Scratch&) {
    if (rank)
      std::copy_n(y(row), dim, x(row));
    else
      unpack_row(embedding, token(row), dim, scale, kernels_.unsigned_weights, x(row));
    const float* added = position(row);
    for (int i = 0; i < dim; ++i) x(row)[i] += added[i];
    if (config_.pre_norm)
      normalize(row, next, dim);
    else
      prepare(x(row), dim, row);
  });
}

// ---- work of one member on one row ----
// Every function leaves the row prepared for the next product, whose input is x or, in a pre-norm model, x normalised
// by the norm of the branch that comes next.

void Network::prepare(const float* values, int inputs, int row) const {
  kernels_.prepare(config_.precision, values, inputs, row, operand());
}

void Network::normalize(int row, const Norm& norm, int dim) const {
  kernels_.add_norm(x(row), nullptr, norm.gain, norm.bias, dim, y(row));
  prepare(y(row), dim, row);
}

void Network::attend(Scratch& scratch, const float* query, int keys, const AttentionShape& shape, int row) const {
  kernels_.attend(query, scratch.kv_rows.data(), keys, shape.heads, shape.qkv_dim / shape.heads,
                  scratch.attention.get(), scratch.context.get());
  prepare(scratch.context.get(), shape.qkv_dim, row);
}

// x += y, the output of a branch with the norm `norm`.
void Network::add_residual(int row, const BranchNorm& norm, int dim) const {
  const Norm& used = config_.pre_norm ? norm.next : norm.norm;
  float* out = config_.pre_norm ? y(row) : x(row);
  kernels_.add_norm(x(row), y(row), used.gain, used.bias, dim, out);
  prepare(out, dim, row);
}

// Prepares rows, which another norm has prepared, for the branch with this norm.
void Network::enter(const Norm& norm, int dim, int rows) {
  if (!config_.pre_norm) return;
  for_each_row(rows, grain_of_rows(dim), [&](int row, Scratch&) { normalize(row, norm, dim); });
}

// ---- encoder ----

void Network::encode(const Range& group) {
  const int first = offsets_[group.begin], rows = offsets_[group.end] - first;
  const auto token = [&](int row) {
    const TokenPlace place = locate(group, first + row);
    return (*sources_)[place.sentence][place.position];
  };
  const auto position = [&](int row) {
    return source_positions_.row(kPad + 1 + locate(group, first + row).position);
  };
  embed(model_->source_embedding, model_->source_factor, model_->encoder[0].first_norm, config_.encoder_dim, rows,
        token, position);
  charge(Part::embedding);
  for (int index = 0; index < static_cast<int>(model_->encoder.size()); ++index) encode_layer(index, group);
}

void Network::encode_layer(int index, const Range& group) {
  const EncoderLayer& layer = model_->encoder[index];
  const int rows = offsets_[group.end] - offsets_[group.begin];
  const int last = static_cast<int>(model_->encoder.size()) - 1;
  for (int pass = 0; pass < layer.shape.passes; ++pass) {
    if (pass > 0) enter(layer.first_norm, config_.encoder_dim, rows);
    if (layer.shape.attention.present()) attend_within(layer, group);
    if (layer.shape.ffn_dim) feed_forward(layer.fc1, layer.fc2, layer.ffn_norm, rows);
  }
  charge(Part::encoder);
  compute_cross_kv(group, last - index);
  charge(Part::cross_attention);
  if (index < last) enter(model_->encoder[index + 1].first_norm, config_.encoder_dim, rows);
}

void Network::attend_within(const EncoderLayer& layer, const Range& group) {
  const int first = offsets_[group.begin], rows = offsets_[group.end] - first;
  const AttentionShape& shape = layer.shape.attention;
  multiply(layer.qkv, rows);
  for_each_row(rows, 1, [&](int row, Scratch& scratch) {
    const int sentence = locate(group, first + row).sentence, length = sentence_length(sentence);
    for (int i = 0; i < length; ++i) scratch.kv_rows[i] = y(offsets_[sentence] - first + i) + shape.qkv_dim;
    attend(scratch, y(row), length, shape, row);
  });
  multiply_and_add(layer.out, layer.attention_norm, rows);
}

// Computes the keys and values of every decoder layer that attends to the encoder layer just finished, the
// `from_last`-th from the last. In memory they follow those of later encoder layers.
void Network::compute_cross_kv(const Range& group, int from_last) {
  for (size_t i = 0; i < model_->decoder.size(); ++i) {
    const DecoderLayer& layer = model_->decoder[i];
    if (!layer.shape.cross.present() || from_last >= layer.shape.encoder_layers_attended) continue;
    const Matrix& weights = layer.cross_kv;
    team_.parallel_for(blocks_of(weights), grain_of_blocks(weights), [&](int, int begin, int end) {
      for (int sentence = group.begin; sentence < group.end; ++sentence) {
        const int length = sentence_length(sentence);
        float* out = cross_kv_row(static_cast<int>(i), sentence, from_last * length);
        kernels_.multiply(weights, operand(), offsets_[sentence] - offsets_[group.begin], length, begin, end, false,
                          out + begin * kBlock, cross_kv_stride(static_cast<int>(i)));
      }
    });
  }
}

float* Network::cross_kv_row(int layer, int sentence, int key) const {
  const size_t row = static_cast<size_t>(offsets_[sentence]) * config_.decoder[layer].encoder_layers_attended + key;
  return cross_kv_[layer] + row * cross_kv_stride(layer);
}

Network::TokenPlace Network::locate(const Range& group, int token) const {
  const auto begin = offsets_.begin();
  const auto next = std::upper_bound(begin + group.begin, begin + group.end + 1, token);
  const int sentence = static_cast<int>(next - begin) - 1;
  return {sentence, token - offsets_[sentence]};
}

// ---- decoder ----

void Network::decode(int step) {
  charge(Part::beam);
  const int rows = static_cast<int>(rows_.size());
  embed(
      model_->target_embedding, model_->target_factor, model_->first_decoder_norm, config_.decoder_dim, rows,
      [&](int row) { return rows_[row].token; }, [&](int) { return target_positions_.row(kPad + 1 + step); });
  charge(Part::embedding);
  int cache = 0;  // each pass has its own
  for (int index = 0; index < static_cast<int>(model_->decoder.size()); ++index) {
    const DecoderLayer& layer = model_->decoder[index];
    for (int pass = 0; pass < layer.shape.passes; ++pass) {
      if (pass > 0) enter(layer.first_norm, config_.decoder_dim, rows);
      decode_layer(index, cache++, step);
    }
  }
  if (config_.embedding_rank) {
    multiply(model_->output_factor, rows);
    for_each_row(rows, grain_of_rows(config_.embedding_rank), [&](int row, Scratch&) {
      prepare(y(row), config_.embedding_rank, row);
    });
  }
  team_.parallel_for(logits_.chunks(), 1, [&](int member, int begin, int end) {
    kernels_.project(model_->output, operand(), logits_.rows_of(member), rows, begin, end,
                     scratch_[member].logits.get());
  });
  charge(Part::projection);
}

void Network::decode_layer(int index, int cache, int step) {
  const DecoderLayer& layer = model_->decoder[index];
  if (layer.shape.attention.present()) attend_to_target(layer, cache, step);
  if (layer.shape.cross.present()) attend_to_source(index);
  if (layer.shape.ffn_dim) feed_forward(layer.fc1, layer.fc2, layer.ffn_norm, static_cast<int>(rows_.size()));
  charge(Part::feed_forward);
}

void Network::attend_to_target(const DecoderLayer& layer, int cache, int step) {
  const AttentionShape& shape = layer.shape.attention;
  const int rows = static_cast<int>(rows_.size());
  multiply(layer.qkv, rows);
  for_each_row(rows, 1, [&](int row, Scratch& scratch) {
    const Row& hypothesis = rows_[row];
    float* kv = cache_.at(cache, step, hypothesis.slot);
    std::copy_n(y(row) + shape.qkv_dim, 2 * shape.qkv_dim, kv);
    for (int i = 0; i < step; ++i) scratch.kv_rows[i] = cache_.at(cache, i, hypothesis.ancestors[i]);
    scratch.kv_rows[step] = kv;
    attend(scratch, y(row), step + 1, shape, row);
  });
  multiply_and_add(layer.out, layer.attention_norm, rows);
  charge(Part::self_attention);
}

void Network::attend_to_source(int index) {
  const DecoderLayer& layer = model_->decoder[index];
  const int rows = static_cast<int>(rows_.size());
  const size_t stride = cross_kv_stride(index);
  multiply(layer.cross_q, rows);
  for_each_row(rows, 1, [&](int row, Scratch& scratch) {
    const int sentence = rows_[row].sentence, keys = sentence_length(sentence) * layer.shape.encoder_layers_attended;
    const float* first = cross_kv_row(index, sentence, 0);
    for (int i = 0; i < keys; ++i) scratch.kv_rows[i] = first + i * stride;
    attend(scratch, y(row), keys, layer.shape.cross, row);
  });
  multiply_and_add(layer.cross_out, layer.cross_norm, rows);
  charge(Part::cross_attention);
}

}  // namespace hat
