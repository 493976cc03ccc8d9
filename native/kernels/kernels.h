// The interface between the engine and an instruction set: products of few rows, norms, attention, logits,
// and a step of training.
// Plain data only. Every file of an instruction set includes this header, so a function in it could be compiled
// for one processor and linked into code that runs on another.
#pragma once
#include <cstddef>
#include <cstdint>

namespace hat {

// ---- weights ----

// The elements of a weight matrix. table: a code of 4 bits for each weight, which stands for one of 16 int8 values.
enum class Precision { float32, bfloat16, int8, table };

// True where products round activations to int8.
constexpr bool multiplies_in_int8(Precision precision) {
  return precision == Precision::int8 || precision == Precision::table;
}

// The most inputs of an int8 product: a sum of this many terms of 127 · 127 still fits into 32 bits.
constexpr int kMaxInt8Inputs = 0x7fffffff / (127 * 127);

// A packed matrix has blocks of kBlock outputs, and a block has groups of inputs: 4 bytes of one output's weights.
constexpr int kBlock = 32;
constexpr size_t kGroupBytes = 4;
constexpr int inputs_per_group(Precision precision) {
  switch (precision) {
    case Precision::float32: return 1;
    case Precision::bfloat16: return 2;
    case Precision::int8: return 4;
    case Precision::table: return 8;
  }
  return 0;
}

constexpr int kTableSize = 16;  // values of a table

// Weights (outputs × inputs) as [block of outputs][group of inputs][kBlock][input of the group], zero beyond the last
// output and the last input. `stored_groups` may exceed what `inputs` needs: a shared embedding is as wide as the
// wider side.
//
// int8: weight = data · scales[output]. Kernels with unsigned weights have 128 added to data.
// table: byte i of a group (0 … 3) holds the code of input i in its lower half and the code of input i + 4 in its
// upper half. The values of tables are in the form of int8 data.
struct Matrix {
  Precision precision;
  int outputs, inputs, stored_groups;
  const void* data;
  const float* scales;   // per output, padded to whole blocks; int8 and table only
  const float* bias;     // per output, padded to whole blocks; may be null
  const int8_t* tables;  // kTableSize values per block; table only
};

// ---- activations ----

// Rows of activations in the form that products read: float32, bfloat16, or int8 with a scale per row.
struct Operand {
  std::byte* data;
  size_t stride;  // bytes from row to row
  float* scales;  // int8: row ≈ data · scale
  int32_t* sums;  // int8: 128 · sum of the row's data, modulo 2^32: the excess of a product with unsigned weights
};

// ---- logits ----

// Logits are computed a chunk of the vocabulary at a time, for a few rows at once.
constexpr int kChunkBlocks = 8, kChunk = kChunkBlocks * kBlock;
constexpr int kLogitRows = 8;
constexpr int kLogitScratch = kLogitRows * kChunk;  // floats

// The questions of a search about one row of logits; −1 stands for no token.
struct LogitRequest {
  int32_t wanted = -1;              // the token whose logit is asked for
  int32_t forbidden[2] = {-1, -1};  // tokens that may not become candidates
  int candidates = 0;               // how many of the tokens with the highest logits
};

// The answers, by `project`. The logits themselves are never stored.
struct LogitRow {
  float* chunk_max;  // per chunk: the largest logit, and the sum of exp(logit − largest). Merged in the order of the
  float* chunk_sum;  // chunks, they give the same sum on any number of threads.
  float wanted_logit;
  LogitRequest request;
  int count;      // of candidates so far: highest logits first, of equal ones the lower ids
  float* values;  // logits of the candidates
  int32_t* ids;   // tokens of the candidates
};

// ---- training ----

// A row of weights in training, with the moments of its gradients and, unless null, a copy in bfloat16. The gradient
// belongs to the first `gradient_size` weights, and the others have none.
struct AdamWRow {
  float *weights, *mean, *square;
  uint16_t* copy;
  Precision precision;  // of the gradient: float32 or bfloat16
  const void* gradient;
  size_t gradient_size;
};

// One step of AdamW, g = gradient_factor · gradient: mean += mean_rate · (g − mean); square = square_decay · square +
// square_rate · g²; weight = weight_decay · weight − step_size · mean / (root_factor · √square + epsilon).
struct AdamWStep {
  float gradient_factor, mean_rate, square_decay, square_rate, weight_decay, step_size, root_factor, epsilon;
};

// One head of attention: `dim` numbers of a query, key or value. Scores are multiplied by `scale`.
struct HeadShape {
  int queries, keys, dim;
  float scale;
};

// Rows in bfloat16, one for each position, `stride` elements apart.
struct HeadRows {
  uint16_t* data;
  size_t stride;
};

// A row of bytes for each query, `stride` apart: 1 for a key that it sees. Null: all see all.
struct HeadMask {
  const uint8_t* data;
  size_t stride;
};

// Floats that the scratch of `attention` and `attention_gradients` holds.
constexpr size_t head_scratch(const HeadShape& shape) {
  constexpr size_t kMost = 16;  // floats in a vector of any instruction set
  const size_t dim = shape.dim + kMost, keys = shape.keys + kMost, queries = shape.queries;
  return 4 * (queries > keys ? queries : keys) * dim + 2 * queries * keys + dim * keys;
}

// ---- the kernels of one instruction set ----

struct Kernels {
  const char* name;
  bool unsigned_weights;  // int8 products need weights with 128 added
  bool has_tables;        // `multiply` and `project` take Precision::table

  // Writes `inputs` floats to row `row` of `operand`, and zeros to the rest of the last group. A row with an infinite
  // or NaN input gives products that are not finite either, with all kernels.
  void (*prepare)(Precision precision, const float* x, int inputs, int row, const Operand& operand);

  // y[i] = bias + weights · operand row (row0 + i), with ReLU where `relu`, for the outputs of blocks
  // [block0, block1). The first of them goes to y[i][0]; y has `stride` floats a row and takes whole blocks.
  void (*multiply)(const Matrix& weights, const Operand& operand, int row0, int rows, int block0, int block1,
                   bool relu, float* y, size_t stride);

  // x += delta, where that is not null; out = LayerNorm(x) · gain + bias, ε 1e-5. `out` may be x or delta.
  void (*add_norm)(float* x, const float* delta, const float* gain, const float* bias, int size, float* out);

  // Attention of one query (heads · head_dim floats) to `keys` rows, each of which holds a key followed by a value
  // (heads · head_dim floats both). `scratch` takes `keys` floats.
  void (*attend)(const float* query, const float* const* rows, int keys, int heads, int head_dim, float* scratch,
                 float* out);

  // Looks through the logits of `count` rows in the chunks [chunk0, chunk1). `scratch` takes kLogitScratch floats.
  void (*project)(const Matrix& weights, const Operand& operand, LogitRow* rows, int count, int chunk0, int chunk1,
                  float* scratch);

  // Steps a row of `size` weights and rounds them to its copy.
  void (*adamw)(const AdamWRow& row, size_t size, const AdamWStep& step);

  // The sum of the squares of a float32 or bfloat16 array.
  float (*square_sum)(Precision precision, const void* values, size_t size);

  // The cross-entropy of bfloat16 logits (vectors long at least) against `target`, with the mass `smoothing` spread
  // evenly over the vocabulary; unless null, `gradient` gets its gradient. `scratch` takes `vocabulary` floats.
  float (*smoothed_loss)(const uint16_t* logits, int vocabulary, int target, float smoothing, float* scratch,
                         uint16_t* gradient);

  // The outputs of a head, a row for each query.
  void (*attention)(const HeadShape& shape, const HeadRows& q, const HeadRows& k, const HeadRows& v,
                    const HeadMask& mask, float* scratch, const HeadRows& out);

  // The gradients of queries, keys and values from `slope`, that of the outputs.
  void (*attention_gradients)(const HeadShape& shape, const HeadRows& q, const HeadRows& k, const HeadRows& v,
                              const HeadMask& mask, const HeadRows& slope, float* scratch, const HeadRows& dq,
                              const HeadRows& dk, const HeadRows& dv);
};

}  // namespace hat
