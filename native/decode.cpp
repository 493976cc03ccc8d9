#include "decode.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <stdexcept>

#include "team.h"
#include "workspace.h"

namespace hat {
namespace {

constexpr int kPad = 1, kEos = 2;
constexpr float kNever = -std::numeric_limits<float>::infinity();
// Source tokens encoded together: enough rows for the products, little enough to stay in the cache.
constexpr int kGroupTokens = 512;
// Longest hypothesis and widest beam that are taken seriously; both bound memory.
constexpr int kLongest = 1 << 16, kWidest = 1 << 12;

struct Range {
  int begin, end;
};

Range share(int count, int member, int members) {
  return {static_cast<int>(static_cast<int64_t>(count) * member / members),
          static_cast<int>(static_cast<int64_t>(count) * (member + 1) / members)};
}

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
  State(std::shared_ptr<const Model> model, int threads)
      : model_(std::move(model)),
        c_(model_->config),
        k_(model_->kernels),
        team_(threads),
        source_positions_(c_.encoder_super_dim, c_.encoder_dim),
        target_positions_(c_.decoder_super_dim, c_.decoder_dim) {}

  std::vector<std::vector<Hypothesis>> translate(const std::vector<Sentence>& sources, const Options& options) {
    begin(sources, options.beam, 2 * options.beam);
    std::vector<std::vector<Hypothesis>> found(sources.size());
    for (size_t i = 0; i < sources.size(); ++i) {
      const double limit = std::floor(options.max_length_factor * static_cast<double>(sources[i].size())) +
                           options.max_length_offset;
      live_.push_back({static_cast<int>(i), static_cast<int>(i) * options.beam, 1,
                       static_cast<int>(std::min(limit, static_cast<double>(kLongest)))});
    }
    run([&](int step) { return choose(step, options, found); },
        [&](int step, const Live& sentence, LogitRow& row) {
          row.forbidden[0] = kPad;
          row.forbidden[1] = step + 1 < options.min_length ? kEos : -1;
          if (step + 1 >= sentence.limit) row.capacity = 0;  // only </s> may come
          row.wanted = kEos;
        });
    for (std::vector<Hypothesis>& hypotheses : found) {
      std::stable_sort(hypotheses.begin(), hypotheses.end(),
                       [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
      if (hypotheses.size() > static_cast<size_t>(options.nbest)) hypotheses.resize(options.nbest);
    }
    return found;
  }

  std::vector<std::vector<float>> score(const std::vector<Sentence>& sources, const std::vector<Sentence>& targets) {
    begin(sources, 1, 0);
    std::vector<std::vector<float>> found(sources.size());
    for (size_t i = 0; i < sources.size(); ++i)
      live_.push_back({static_cast<int>(i), static_cast<int>(i), 1, static_cast<int>(targets[i].size())});
    run([&](int step) { return follow(step, targets, found); },
        [&](int step, const Live& sentence, LogitRow& row) { row.wanted = targets[sentence.index][step]; });
    return found;
  }

  const Config& config() const { return c_; }

  size_t workspace_bytes() const {
    size_t bytes = cache_.bytes() + operand_.bytes() + x_.bytes() + y_.bytes();
    for (const Buffer<float>& memory : memories_) bytes += memory.bytes();
    return bytes;
  }

 private:
  template <class Choose, class Ask>
  void run(const Choose& choose_next, const Ask& ask) {
    std::exception_ptr failure;
    bool going = true;
    const auto alone = [&](const auto& work) {  // member 0 at work while the others wait
      try {
        work();
      } catch (...) {
        failure = std::current_exception();
        going = false;
      }
    };
    team_.run([&](int member) {
      encode(member);
      for (int step = 0;; ++step) {
        if (member == 0 && going)
          alone([&] {
            if (!(going = !live_.empty())) return;
            lay_out(step, ask);
          });
        team_.barrier();
        if (!going) break;
        decode(step, member);
        if (member == 0) alone([&] { choose_next(step); });
      }
    });
    live_.clear();
    if (failure) std::rethrow_exception(failure);
  }

  // ---- memory ----

  void begin(const std::vector<Sentence>& sources, int beam, int capacity) {
    live_.clear();
    sources_ = &sources;
    beam_ = beam;
    slots_ = static_cast<int>(sources.size()) * beam;
    capacity_ = capacity;
    int longest = 0;
    offsets_.assign(1, 0);
    for (const Sentence& source : sources) {
      longest = std::max(longest, static_cast<int>(source.size()));
      offsets_.push_back(offsets_.back() + static_cast<int>(source.size()));
    }
    source_positions_.extend(longest + kPad + 1);
    make_groups();
    const int rows = std::max(slots_, group_rows_);
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
    x_.grow(rows * x_stride_);
    y_.grow(rows * y_stride_);
    row_bytes_ = round_up(y_stride_ * (c_.precision == Precision::int8 ? 1 : 4), 64);
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
    const size_t members = team_.size();
    candidate_values_.grow(members * slots_ * capacity);
    candidate_ids_.grow(members * slots_ * capacity);
    logit_rows_.resize(members * slots_);
    members_.resize(members);
    for (Member& own : members_) {
      own.context.grow(round_up(c_.qkv_dim, 16));
      own.scratch.grow(8 * kChunk);
      own.attention.grow(round_up(std::max(longest * most_attended, 256), 16));
      own.rows.resize(std::max(longest * most_attended, 256));
    }
    ancestors_.resize(slots_);
    next_ancestors_.resize(slots_);
    for (int slot = 0; slot < slots_; ++slot) ancestors_[slot].clear();
    totals_.assign(slots_, 0.0f);
    next_totals_.resize(slots_);
    extend_words(0);
    std::fill(words_[0].begin(), words_[0].end(), kEos);  // every target starts with </s>
  }

  void extend_words(int position) {
    const size_t slots = static_cast<size_t>(slots_);
    if (words_.size() <= static_cast<size_t>(position)) {
      words_.resize(position + 1);
      word_scores_.resize(position + 1);
    }
    if (words_[position].size() < slots) {
      words_[position].resize(slots);
      word_scores_[position].resize(slots);
    }
  }

  // Consecutive sentences whose tokens are encoded together.
  void make_groups() {
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

  // ---- what all members do together; each ends with a barrier ----

  Operand operand() const { return {operand_.get(), row_bytes_, operand_scales_.get(), operand_sums_.get()}; }

  void multiply(const Matrix& weights, int rows, bool relu, int member) {
    const Range blocks = share(blocks_of(weights), member, team_.size());
    k_.multiply(weights, operand(), 0, rows, blocks.begin, blocks.end, relu, y_ + blocks.begin * kBlock, y_stride_);
    team_.barrier();
  }

  template <class Work>
  void each_row(int rows, int member, const Work& work) {
    const Range own = share(rows, member, team_.size());
    for (int row = own.begin; row < own.end; ++row) work(row);
    team_.barrier();
  }

  float* x(int row) const { return x_ + row * x_stride_; }
  float* y(int row) const { return y_ + row * y_stride_; }
  void prepare(const float* values, int inputs, int row) const { k_.prepare(c_.precision, values, inputs, row, operand()); }

  void residual(int row, const Norm& norm, int dim) const {
    k_.add_norm(x(row), y(row), norm.gain, norm.bias, dim);
    prepare(x(row), dim, row);
  }

  void feed_forward(const Matrix& fc1, const Matrix& fc2, const Norm& norm, int rows, int member) {
    multiply(fc1, rows, true, member);
    each_row(rows, member, [&](int row) { prepare(y(row), fc1.outputs, row); });
    multiply(fc2, rows, false, member);
    each_row(rows, member, [&](int row) { residual(row, norm, fc2.outputs); });
  }

  // ---- encoder ----

  void encode(int member) {
    for (const Range& group : groups_) encode(group, member);
  }

  void encode(const Range& group, int member) {
    const int first = offsets_[group.begin], rows = offsets_[group.end] - first;
    const float scale = static_cast<float>(std::sqrt(static_cast<double>(c_.encoder_dim)));
    each_row(rows, member, [&](int row) {
      const Place place = locate(group, first + row);
      const int id = (*sources_)[place.sentence][place.token];
      model_->embed(model_->source_embedding, id, c_.encoder_dim, scale, x(row));
      const float* position = source_positions_.row(kPad + 1 + place.token);
      for (int i = 0; i < c_.encoder_dim; ++i) x(row)[i] += position[i];
      prepare(x(row), c_.encoder_dim, row);
    });
    const int layers = static_cast<int>(model_->encoder.size());
    for (int index = 0; index < layers; ++index) {
      const EncoderLayer& layer = model_->encoder[index];
      multiply(layer.qkv, rows, false, member);
      each_row(rows, member, [&](int row) {
        const Place place = locate(group, first + row);
        const int start = offsets_[place.sentence] - first, length = sentence_length(place.sentence);
        Member& own = members_[member];
        for (int i = 0; i < length; ++i) own.rows[i] = y(start + i) + c_.qkv_dim;
        attend(own, y(row), length, layer.shape.heads, row);
      });
      multiply(layer.out, rows, false, member);
      each_row(rows, member, [&](int row) { residual(row, layer.attention_norm, c_.encoder_dim); });
      feed_forward(layer.fc1, layer.fc2, layer.ffn_norm, rows, member);
      remember(group, layers - 1 - index, member);
    }
  }

  // Keys and values of every decoder layer that attends to the encoder layer just finished, the
  // `from_last`-th from the last; they lie in time after those of the later layers.
  void remember(const Range& group, int from_last, int member) {
    for (size_t i = 0; i < model_->decoder.size(); ++i) {
      const DecoderLayer& layer = model_->decoder[i];
      if (from_last >= layer.shape.attended) continue;
      const Range blocks = share(blocks_of(layer.cross_kv), member, team_.size());
      for (int sentence = group.begin; sentence < group.end; ++sentence) {
        const int length = sentence_length(sentence);
        float* place = memory_row(static_cast<int>(i), sentence, from_last * length);
        k_.multiply(layer.cross_kv, operand(), offsets_[sentence] - offsets_[group.begin], length, blocks.begin,
                    blocks.end, false, place + blocks.begin * kBlock, memory_stride_);
      }
    }
    team_.barrier();
  }

  float* memory_row(int layer, int sentence, int key) const {
    const size_t row = static_cast<size_t>(offsets_[sentence]) * c_.decoder[layer].attended + key;
    return memories_[layer] + row * memory_stride_;
  }

  int sentence_length(int sentence) const { return offsets_[sentence + 1] - offsets_[sentence]; }

  struct Place {
    int sentence, token;
  };

  Place locate(const Range& group, int token) const {
    const auto begin = offsets_.begin();
    const auto next = std::upper_bound(begin + group.begin, begin + group.end + 1, token);
    const int sentence = static_cast<int>(next - begin) - 1;
    return {sentence, token - offsets_[sentence]};
  }

  // ---- decoder ----

  struct Row {
    int slot, sentence, word;  // word: the token that this step takes in
  };

  struct Member {
    Buffer<float> context, scratch, attention;
    std::vector<const float*> rows;
  };

  void attend(Member& own, const float* query, int keys, int heads, int row) const {
    k_.attend(query, own.rows.data(), keys, heads, c_.qkv_dim / heads, own.attention.get(), own.context.get());
    prepare(own.context.get(), c_.qkv_dim, row);
  }

  // The rows of a step, and what is asked of their logits.
  template <class Ask>
  void lay_out(int step, const Ask& ask) {
    target_positions_.extend(step + kPad + 2);
    cache_.extend(step);
    for (Member& own : members_)
      if (static_cast<int>(own.rows.size()) <= step) {
        own.rows.resize(2 * step);
        own.attention.grow(2 * step);
      }
    rows_.clear();
    for (const Live& sentence : live_)
      for (int i = 0; i < sentence.width; ++i) {
        const int row = static_cast<int>(rows_.size()), slot = sentence.first_slot + i;
        rows_.push_back({slot, sentence.index, words_[step][slot]});
        for (int member = 0; member < team_.size(); ++member) {
          LogitRow& logits = logit_row(member, row);
          const size_t place = (static_cast<size_t>(member) * slots_ + row) * capacity_;
          logits = {chunk_max_ + static_cast<size_t>(row) * chunks_, chunk_sum_ + static_cast<size_t>(row) * chunks_,
                    kNever, -1, {-1, -1}, capacity_, 0, candidate_values_ + place, candidate_ids_ + place};
          ask(step, sentence, logits);
        }
      }
  }

  LogitRow& logit_row(int member, int row) { return logit_rows_[static_cast<size_t>(member) * slots_ + row]; }

  void decode(int step, int member) {
    const int rows = static_cast<int>(rows_.size());
    const float scale = static_cast<float>(std::sqrt(static_cast<double>(c_.decoder_dim)));
    const float* position = target_positions_.row(step + kPad + 1);
    each_row(rows, member, [&](int row) {
      model_->embed(model_->target_embedding, rows_[row].word, c_.decoder_dim, scale, x(row));
      for (int i = 0; i < c_.decoder_dim; ++i) x(row)[i] += position[i];
      prepare(x(row), c_.decoder_dim, row);
    });
    for (size_t index = 0; index < model_->decoder.size(); ++index) decode_layer(static_cast<int>(index), step, member);
    const Range chunks = share(chunks_, member, team_.size());
    k_.project(model_->output, operand(), &logit_row(member, 0), rows, chunks.begin, chunks.end,
               members_[member].scratch.get());
    team_.barrier();
  }

  void decode_layer(int index, int step, int member) {
    const DecoderLayer& layer = model_->decoder[index];
    const int rows = static_cast<int>(rows_.size());
    Member& own = members_[member];
    multiply(layer.qkv, rows, false, member);
    each_row(rows, member, [&](int row) {
      const int slot = rows_[row].slot;
      float* here = cache_.at(index, step, slot);
      std::copy_n(y(row) + c_.qkv_dim, 2 * c_.qkv_dim, here);
      for (int i = 0; i < step; ++i) own.rows[i] = cache_.at(index, i, ancestors_[slot][i]);
      own.rows[step] = here;
      attend(own, y(row), step + 1, layer.shape.self_heads, row);
    });
    multiply(layer.out, rows, false, member);
    each_row(rows, member, [&](int row) { residual(row, layer.attention_norm, c_.decoder_dim); });
    multiply(layer.cross_q, rows, false, member);
    each_row(rows, member, [&](int row) {
      const int sentence = rows_[row].sentence, keys = sentence_length(sentence) * layer.shape.attended;
      const float* first = memory_row(index, sentence, 0);
      for (int i = 0; i < keys; ++i) own.rows[i] = first + i * memory_stride_;
      attend(own, y(row), keys, layer.shape.cross_heads, row);
    });
    multiply(layer.cross_out, rows, false, member);
    each_row(rows, member, [&](int row) { residual(row, layer.cross_norm, c_.decoder_dim); });
    feed_forward(layer.fc1, layer.fc2, layer.ffn_norm, rows, member);
  }

  // ---- what comes next (member 0 alone) ----

  float log_sum(int row) const {
    const float *peaks = chunk_max_ + static_cast<size_t>(row) * chunks_, *sums = chunk_sum_ + static_cast<size_t>(row) * chunks_;
    const float peak = *std::max_element(peaks, peaks + chunks_);
    float total = 0;
    for (int chunk = 0; chunk < chunks_; ++chunk) total += sums[chunk] * std::exp(peaks[chunk] - peak);
    return peak + std::log(total);
  }

  float wanted_logit(int row) {
    float logit = kNever;
    for (int member = 0; member < team_.size(); ++member) logit = std::max(logit, logit_row(member, row).wanted_logit);
    return logit;
  }

  // Beam search as published (REFERENCE item 18): of the 2K best continuations an </s> among the first K
  // ends its hypothesis, the first K others go on.
  void choose(int step, const Options& options, std::vector<std::vector<Hypothesis>>& found) {
    const int length = step + 1;
    extend_words(length);
    size_t kept = 0;
    int row = 0;
    for (size_t i = 0; i < live_.size(); ++i) {
      Live sentence = live_[i];
      gather(sentence, row, length >= sentence.limit);
      row += sentence.width;
      std::vector<Hypothesis>& done = found[sentence.index];
      const size_t looked_at = std::min(candidates_.size(), static_cast<size_t>(2 * beam_));
      for (size_t rank = 0; rank < looked_at && rank < static_cast<size_t>(beam_); ++rank)
        if (candidates_[rank].word == kEos && std::isfinite(candidates_[rank].total) &&
            done.size() < static_cast<size_t>(beam_))
          done.push_back(finished(sentence, candidates_[rank], step, options.length_penalty));
      if (done.size() >= static_cast<size_t>(beam_) || length >= sentence.limit) continue;
      sentence.width = branch(sentence, looked_at, step);
      if (sentence.width) live_[kept++] = sentence;
    }
    live_.resize(kept);
    totals_.swap(next_totals_);
    ancestors_.swap(next_ancestors_);
  }

  // candidates_ = the sentence's continuations, best first; its rows start at `row`.
  void gather(const Live& sentence, int row, bool ending) {
    candidates_.clear();
    for (int i = 0; i < sentence.width; ++i) {
      const float normaliser = log_sum(row + i), before = totals_[sentence.first_slot + i];
      const auto add = [&](float logit, int word) {
        const float own = logit - normaliser, total = before + own;
        candidates_.push_back({total == total ? total : kNever, own, i, word});
      };
      if (ending) {
        add(wanted_logit(row + i), kEos);
        continue;
      }
      for (int member = 0; member < team_.size(); ++member) {
        const LogitRow& logits = logit_row(member, row + i);
        for (int n = 0; n < logits.count; ++n) add(logits.values[n], logits.ids[n]);
      }
    }
    const size_t wanted = std::min(candidates_.size(), static_cast<size_t>(2 * beam_));
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(wanted), candidates_.end(),
                      better);
  }

  // Fills the sentence's slots for the next step; returns how many hypotheses go on.
  int branch(const Live& sentence, size_t looked_at, int step) {
    int width = 0;
    for (size_t rank = 0; rank < looked_at && width < beam_; ++rank) {
      const Candidate& candidate = candidates_[rank];
      if (candidate.word == kEos || candidate.total == kNever) continue;
      const int parent = sentence.first_slot + candidate.parent, slot = sentence.first_slot + width++;
      next_ancestors_[slot] = ancestors_[parent];
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
      const int there = at < step ? ancestors_[slot][at] : slot;
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
    for (size_t row = 0; row < live_.size(); ++row) {
      const Live sentence = live_[row];
      found[sentence.index].push_back(wanted_logit(static_cast<int>(row)) - log_sum(static_cast<int>(row)));
      words_[step + 1][sentence.first_slot] = targets[sentence.index][step];
      ancestors_[sentence.first_slot].push_back(sentence.first_slot);
      if (step + 1 < sentence.limit) live_[kept++] = sentence;
    }
    live_.resize(kept);
  }

  const std::shared_ptr<const Model> model_;
  const Config& c_;
  const Kernels& k_;
  Team team_;
  Positions source_positions_, target_positions_;

  const std::vector<Sentence>* sources_ = nullptr;
  std::vector<int> offsets_;  // first token of each sentence among all; one more at the end
  std::vector<Range> groups_;
  int group_rows_ = 0, beam_ = 0, slots_ = 0, capacity_ = 0, chunks_ = 0;

  Buffer<float> x_, y_;  // residual stream, and products
  Buffer<std::byte> operand_;
  Buffer<float> operand_scales_;
  Buffer<int32_t> operand_sums_;
  size_t x_stride_ = 0, y_stride_ = 0, row_bytes_ = 0, memory_stride_ = 0;
  std::vector<Buffer<float>> memories_;  // per decoder layer: cross-attention keys and values
  KeyValueCache cache_;
  std::vector<Member> members_;

  std::vector<Live> live_;
  std::vector<Row> rows_;
  std::vector<LogitRow> logit_rows_;  // per member, per row
  Buffer<float> chunk_max_, chunk_sum_, candidate_values_;
  Buffer<int32_t> candidate_ids_;
  std::vector<Candidate> candidates_;
  std::vector<float> totals_, next_totals_;                // per slot
  std::vector<std::vector<int>> ancestors_, next_ancestors_;  // per slot: the slot it descends from at each position
  std::vector<std::vector<int>> words_;                    // per position and slot: the token taken in there
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

}  // namespace

Decoder::Decoder(std::shared_ptr<const Model> model, int threads)
    : state_(std::make_unique<State>(std::move(model), threads)) {}

Decoder::~Decoder() = default;

std::vector<std::vector<Hypothesis>> Decoder::translate(const std::vector<Sentence>& sources, const Options& options) {
  if (options.beam < 1 || options.beam > kWidest || options.nbest < 1 || options.nbest > options.beam)
    throw std::invalid_argument("beam and nbest must be at least 1, nbest at most the beam, the beam at most " +
                                std::to_string(kWidest));
  if (options.max_length_offset < 1 || !(options.max_length_factor >= 0))
    throw std::invalid_argument("the longest translation must have at least one token");
  const std::lock_guard lock(mutex_);
  check_ids(sources, state_->config().source_vocab, "source");
  if (sources.empty()) return {};
  return state_->translate(sources, options);
}

std::vector<std::vector<float>> Decoder::score(const std::vector<Sentence>& sources,
                                               const std::vector<Sentence>& targets) {
  if (sources.size() != targets.size()) throw std::invalid_argument("as many targets as sources are needed");
  const std::lock_guard lock(mutex_);
  check_ids(sources, state_->config().source_vocab, "source");
  check_ids(targets, state_->config().target_vocab, "target");
  if (sources.empty()) return {};
  return state_->score(sources, targets);
}

size_t Decoder::workspace_bytes() const {
  const std::lock_guard lock(mutex_);
  return state_->workspace_bytes();
}

}  // namespace hat
