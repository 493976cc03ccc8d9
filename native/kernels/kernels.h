// What the engine asks of an instruction set: products with few rows, norms, attention, the vocabulary.
// Plain data only: translation units compiled for different processors share this header, and no
// inline function may be compiled twice for different ones.
#pragma once
#include <cstddef>
#include <cstdint>

namespace hat {

// Outputs that lie side by side in a packed matrix, whatever the instruction set.
constexpr int kBlock = 32;
// Blocks of the output projection whose logits are looked at together.
constexpr int kChunkBlocks = 8;
constexpr int kChunk = kBlock * kChunkBlocks;

// table: int8 whose values are looked up, by codes of four bits.
enum class Precision { float32, bfloat16, int8, table };
constexpr int kTable = 16;  // values of a table

// Inputs that lie side by side in a packed matrix: four bytes of them, at every precision.
constexpr size_t kGroupBytes = 4;
constexpr int group_of(Precision precision) {
  switch (precision) {
    case Precision::float32: return 1;
    case Precision::bfloat16: return 2;
    case Precision::int8: return 4;
    case Precision::table: return 8;
  }
  return 0;
}
// Whether activations are rounded to int8.
constexpr bool in_int8(Precision precision) { return precision == Precision::int8 || precision == Precision::table; }

// The most inputs of an int8 product: a sum of this many terms of 127 · 127 still fits into 32 bits.
constexpr int kMostInt8Inputs = 0x7fffffff / (127 * 127);

// Weights (outputs × inputs) as [block of outputs][group of inputs][kBlock][group], zero beyond the
// last output and input. `stored_groups` may exceed what `inputs` needs: a shared embedding is as
// wide as the wider side. int8: weight = data · scales[output], and where the kernels want unsigned
// weights data has 128 added. table: of a group of eight inputs, byte i has the code of input i in its
// low half and that of input i + 4 in its high half; the table's values are what data is for int8.
struct Matrix {
  Precision precision;
  int outputs, inputs, stored_groups;
  const void* data;
  const float* scales;   // per output, padded to whole blocks; int8 and table only
  const float* bias;     // per output, padded to whole blocks; may be null
  const int8_t* tables;  // per block, kTable values; table only
};

// Rows of activations in the form that products read: float32, bfloat16, or int8 with a scale per row.
struct Operand {
  std::byte* data;
  size_t stride;   // bytes from row to row
  float* scales;   // int8: row ≈ data · scale
  int32_t* sums;   // int8: 128 × sum of the row's data, modulo 2^32, which unsigned weights add to each product
};

// One row of logits, seen while it is computed and never stored.
struct LogitRow {
  float* chunk_max;     // per chunk: largest logit, and the sum of exp(logit − largest);
  float* chunk_sum;     // merging them in order gives the same sum on any number of threads
  float wanted_logit;   // logit of `wanted`, where that is ≥ 0
  int32_t wanted;
  int32_t forbidden[2]; // ids that may not be candidates, or −1
  int capacity, count;  // candidates: the `capacity` highest logits, highest first; of equal ones the lower ids
  float* values;
  int32_t* ids;
};

struct Kernels {
  const char* name;
  bool unsigned_weights;
  bool looks_up;  // whether it multiplies at Precision::table
  // Row `row` of `operand` from `inputs` floats; zeroes the padding of the last group. A row with an input that is
  // infinite or NaN gives products that are not finite either, in all kernels.
  void (*prepare)(Precision precision, const float* x, int inputs, int row, const Operand& operand);
  // y[i] = relu?(bias + weights · operand row (row0 + i)) for the outputs of blocks [block0, block1), the
  // first of which goes to y[i][0]; y has `stride` floats a row and takes whole blocks.
  void (*multiply)(const Matrix& weights, const Operand& operand, int row0, int rows, int block0, int block1,
                   bool relu, float* y, size_t stride);
  // x += delta, if there is one; out = LayerNorm(x) · gain + bias, ε 1e-5. `out` may be x or delta.
  void (*add_norm)(float* x, const float* delta, const float* gain, const float* bias, int size, float* out);
  // One query (heads · head_dim floats) over `keys` rows, each of keys followed by values
  // (heads · head_dim floats both); `scratch` takes `keys` floats.
  void (*attend)(const float* query, const float* const* rows, int keys, int heads, int head_dim, float* scratch,
                 float* out);
  // The logits of chunks [chunk0, chunk1) of all `rows`; `scratch` takes 8 · kChunk floats.
  void (*project)(const Matrix& weights, const Operand& operand, LogitRow* rows, int count, int chunk0, int chunk1,
                  float* scratch);
};

}  // namespace hat
