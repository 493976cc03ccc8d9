// The kernels, written once over vectors of kWidth floats. An isa_*.cpp sets HAT_ISA (its namespace),
// HAT_WIDTH, HAT_VECTORS (vectors of one output block in registers), HAT_ROWS (rows in registers) and
// HAT_UNSIGNED, defines dot4 (dot2 where bfloat16 products are in hardware; with HAT_LOOKUP look_up and
// table_of, where bytes can be looked up in 16 others), and includes this.
// Everything is static: nothing here may be merged with another instruction set's code.
#include <cstring>

#include "kernels/kernels.h"

namespace hat {
namespace HAT_ISA {

constexpr int kWidth = HAT_WIDTH;
constexpr int kVectors = HAT_VECTORS;
constexpr int kParts = kBlock / (kWidth * kVectors);
constexpr int kMaxRows = HAT_ROWS;

typedef float Floats __attribute__((vector_size(4 * kWidth)));
typedef int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));
typedef float FloatsAt __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
typedef int32_t IntsAt __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
typedef int8_t Bytes __attribute__((vector_size(kWidth)));
typedef int8_t BytesAt __attribute__((vector_size(kWidth), aligned(1), may_alias));

static inline Floats load(const float* p) { return *reinterpret_cast<const FloatsAt*>(p); }
static inline void store(float* p, Floats x) { *reinterpret_cast<FloatsAt*>(p) = x; }
static inline Ints load_ints(const void* p) { return *reinterpret_cast<const IntsAt*>(p); }
static inline Floats all(float x) { return Floats{} + x; }
static inline Ints all_ints(int32_t x) { return Ints{} + x; }
// Returns b where a or b is NaN: as the running maximum, b skips NaN; as the value, b keeps it. A NaN that a
// damaged model makes must not become finite again: its row gets no score.
static inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
static inline Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }
static inline float larger(float a, float b) { return a > b ? a : b; }
static inline int smaller(int a, int b) { return a < b ? a : b; }

// Asks memory for two of the lines that will be read kAhead bytes later. Over kAhead bytes that is each
// line once, turning among kPages pages: memory answers several streams sooner than one (measured on
// Ice Lake, one thread: 15 GB/s against 10.6 in the order of reading).
static inline void fetch_ahead(const void* data) {
  constexpr uintptr_t kPage = 4096, kPages = 16, kPair = 128, kAhead = kPage * kPages;
  const uintptr_t at = reinterpret_cast<uintptr_t>(data), pair = at % kAhead / kPair;
  const uintptr_t line = at / kAhead * kAhead + kAhead + pair % kPages * kPage + pair / kPages * kPair;
  __builtin_prefetch(reinterpret_cast<const void*>(line));
  __builtin_prefetch(reinterpret_cast<const void*>(line + kPair / 2));
}

static inline float sum(Floats x) {
  float parts[kWidth];
  std::memcpy(parts, &x, sizeof parts);
  for (int step = kWidth / 2; step; step /= 2)
    for (int i = 0; i < step; ++i) parts[i] += parts[i + step];
  return parts[0];
}

static inline float largest(Floats x) {
  float parts[kWidth];
  std::memcpy(parts, &x, sizeof parts);
  for (int step = kWidth / 2; step; step /= 2)
    for (int i = 0; i < step; ++i) parts[i] = larger(parts[i], parts[i + step]);
  return parts[0];
}

// e^x to 2e-7 relative for x ≤ 0, the only sign that is asked for, NaN for NaN: a polynomial on [−ln2/2, ln2/2] and
// the exponent put into the float's bits.
static inline Floats exponential(Floats x) {
  x = larger(all(-87.0f), x);
  const Floats shifted = x * 1.44269504f + 12582912.0f;  // 1.5·2^23: rounds to a whole number
  Ints bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const Ints exponent = (bits << 23) + 0x3f800000;
  const Floats n = shifted - 12582912.0f;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats y = all(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  Floats scale;
  std::memcpy(&scale, &exponent, sizeof scale);
  return y * scale;
}

// ---- rows of activations ----

static void prepare_int8(const float* x, int inputs, int row, const Operand& operand) {
  int8_t* out = reinterpret_cast<int8_t*>(operand.data + row * operand.stride);
  const int whole = inputs / kWidth * kWidth;
  Floats highest = all(0.0f), zeros = all(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats v = load(x + i);
    highest = larger(larger(v, -v), highest);
    zeros += v * 0.0f;
  }
  float peak = largest(highest), zero = sum(zeros);
  for (int i = whole; i < inputs; ++i) {
    peak = larger(__builtin_fabsf(x[i]), peak);
    zero += x[i] * 0.0f;
  }
  peak += zero;  // NaN where an input is not finite: int8 has no NaN, so the scale carries it
  const float inverse = peak > 0 ? 127.0f / peak : 0.0f;
  Ints total = all_ints(0);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats shifted = load(x + i) * inverse + 12582912.0f;
    Ints bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    const Bytes rounded = __builtin_convertvector(bits - 0x4b400000, Bytes);
    total += __builtin_convertvector(rounded, Ints);
    *reinterpret_cast<BytesAt*>(out + i) = rounded;
  }
  int32_t sum_of_row = 0;
  for (int i = 0; i < kWidth; ++i) sum_of_row += total[i];
  for (int i = whole; i < inputs; ++i) {
    const float shifted = x[i] * inverse + 12582912.0f;
    int32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    out[i] = static_cast<int8_t>(bits - 0x4b400000);
    sum_of_row += out[i];
  }
  for (int i = inputs; i % 8; ++i) out[i] = 0;  // 8: the group of Precision::table
  operand.scales[row] = peak / 127.0f;
  operand.sums[row] = static_cast<int32_t>(128 * static_cast<uint32_t>(sum_of_row));
}

static inline uint16_t to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static void prepare(Precision precision, const float* x, int inputs, int row, const Operand& operand) {
  if (in_int8(precision)) return prepare_int8(x, inputs, row, operand);
#ifdef HAT_DOT2
  if (precision == Precision::bfloat16) {
    uint16_t* out = reinterpret_cast<uint16_t*>(operand.data + row * operand.stride);
    for (int i = 0; i < inputs; ++i) out[i] = to_bfloat16(x[i]);
    if (inputs % 2) out[inputs] = 0;
    return;
  }
#endif
  float* out = reinterpret_cast<float*>(operand.data + row * operand.stride);
  std::memcpy(out, x, 4 * static_cast<size_t>(inputs));
  if (inputs % 2) out[inputs] = 0;
}

// ---- products: R rows with kVectors vectors of outputs of one block, from `weights` on ----

static inline void put(Floats x, bool relu, float* y) { store(y, relu ? larger(all(0.0f), x) : x); }

static inline Floats bias_of(const Matrix& weights, int output, int vector) {
  return weights.bias ? load(weights.bias + output + vector * kWidth) : all(0.0f);
}

template <int R>
static inline void finish(const Floats (&sums)[R][kVectors], const Matrix& weights, int output, bool relu, float* y,
                          size_t stride) {
  for (int v = 0; v < kVectors; ++v) {
    const Floats bias = bias_of(weights, output, v);
    for (int r = 0; r < R; ++r) put(sums[r][v] + bias, relu, y + r * stride + v * kWidth);
  }
}

template <int R>
static void multiply_float32(const Matrix& weights, const float* data, const Operand& operand, int row, int output,
                             bool relu, float* y, size_t stride) {
  Floats sums[R][kVectors] = {};
  const float* x = reinterpret_cast<const float*>(operand.data + row * operand.stride);
  const size_t step = operand.stride / 4;
  for (int k = 0; k < weights.inputs; ++k, data += kBlock) {
    Floats w[kVectors];
    for (int v = 0; v < kVectors; ++v) w[v] = load(data + v * kWidth);
    fetch_ahead(data);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < kVectors; ++v) sums[r][v] += w[v] * x[r * step + k];
  }
  finish<R>(sums, weights, output, relu, y, stride);
}

template <int R>
static void multiply_bfloat16(const Matrix& weights, const uint16_t* data, const Operand& operand, int row, int output,
                              bool relu, float* y, size_t stride) {
  Floats sums[R][kVectors] = {};
  const int pairs = (weights.inputs + 1) / 2;
  const std::byte* rows = operand.data + row * operand.stride;
  for (int k = 0; k < pairs; ++k, data += 2 * kBlock) {
    Ints w[kVectors];
    for (int v = 0; v < kVectors; ++v) w[v] = load_ints(data + 2 * v * kWidth);
    fetch_ahead(data);
#ifdef HAT_DOT2
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, rows + r * operand.stride + 4 * k, 4);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = dot2(sums[r][v], w[v], all_ints(pair));
    }
#else
    Floats even[kVectors], odd[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const Ints high = w[v] & static_cast<int32_t>(0xffff0000u), low = w[v] << 16;
      std::memcpy(&even[v], &low, sizeof low);
      std::memcpy(&odd[v], &high, sizeof high);
    }
    for (int r = 0; r < R; ++r) {
      const float* x = reinterpret_cast<const float*>(rows + r * operand.stride) + 2 * k;
      for (int v = 0; v < kVectors; ++v) sums[r][v] += even[v] * x[0];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += odd[v] * x[1];
    }
#endif
  }
  finish<R>(sums, weights, output, relu, y, stride);
}

// totals += w · the four bytes of each row from `x` on.
template <int R>
static inline void add_dots(Ints (&totals)[R][kVectors], const Ints (&w)[kVectors], const std::byte* x, size_t stride) {
  for (int r = 0; r < R; ++r) {
    int32_t group;
    std::memcpy(&group, x + r * stride, 4);
    for (int v = 0; v < kVectors; ++v) totals[r][v] = dot4(totals[r][v], w[v], all_ints(group));
  }
}

template <int R>
static inline void finish_int8(const Ints (&totals)[R][kVectors], const Matrix& weights, const Operand& operand, int row,
                               int output, bool relu, float* y, size_t stride) {
  for (int v = 0; v < kVectors; ++v) {
    const Floats scale = load(weights.scales + output + v * kWidth), bias = bias_of(weights, output, v);
    for (int r = 0; r < R; ++r) {
      // Modulo 2^32, like totals and sums of unsigned weights; the difference itself fits (kMostInt8Inputs).
      const Words signed_total = HAT_UNSIGNED ? (Words)totals[r][v] - static_cast<uint32_t>(operand.sums[row + r])
                                              : (Words)totals[r][v];
      const Ints exact = (Ints)signed_total;
      // In one expression, so that it is fused for every R and a row's result never depends on its company.
      put(to_floats(exact) * (scale * operand.scales[row + r]) + bias, relu, y + r * stride + v * kWidth);
    }
  }
}

template <int R>
static void multiply_int8(const Matrix& weights, const int8_t* data, const Operand& operand, int row, int output,
                          bool relu, float* y, size_t stride) {
  Ints totals[R][kVectors] = {};
  const int groups = (weights.inputs + 3) / 4;
  const std::byte* x = operand.data + row * operand.stride;
  for (int k = 0; k < groups; ++k, data += 4 * kBlock, x += 4) {
    Ints w[kVectors];
    for (int v = 0; v < kVectors; ++v) w[v] = load_ints(data + 4 * v * kWidth);
    fetch_ahead(data);
    add_dots<R>(totals, w, x, operand.stride);
  }
  finish_int8<R>(totals, weights, operand, row, output, relu, y, stride);
}

#ifdef HAT_LOOKUP
template <int R>
static void multiply_table(const Matrix& weights, const int8_t* data, const Operand& operand, int row, int output,
                           bool relu, float* y, size_t stride) {
  Ints totals[R][kVectors] = {};
  const Ints table = table_of(weights.tables + output / kBlock * kTable);
  const int groups = (weights.inputs + 7) / 8;
  const std::byte* x = operand.data + row * operand.stride;
  for (int k = 0; k < groups; ++k, data += 4 * kBlock, x += 8) {
    Ints codes[kVectors], w[kVectors];
    for (int v = 0; v < kVectors; ++v) codes[v] = load_ints(data + 4 * v * kWidth);
    fetch_ahead(data);
    for (int v = 0; v < kVectors; ++v) w[v] = look_up(table, codes[v] & 0x0f0f0f0f);
    add_dots<R>(totals, w, x, operand.stride);
    for (int v = 0; v < kVectors; ++v) w[v] = look_up(table, codes[v] >> 4 & 0x0f0f0f0f);
    add_dots<R>(totals, w, x + 4, operand.stride);
  }
  finish_int8<R>(totals, weights, operand, row, output, relu, y, stride);
}
#endif

template <int R>
static void multiply_part(const Matrix& weights, const std::byte* data, const Operand& operand, int row, int output,
                          bool relu, float* y, size_t stride) {
  switch (weights.precision) {
    case Precision::float32:
      return multiply_float32<R>(weights, reinterpret_cast<const float*>(data), operand, row, output, relu, y, stride);
    case Precision::bfloat16:
      return multiply_bfloat16<R>(weights, reinterpret_cast<const uint16_t*>(data), operand, row, output, relu, y,
                                  stride);
    case Precision::int8:
      return multiply_int8<R>(weights, reinterpret_cast<const int8_t*>(data), operand, row, output, relu, y, stride);
    case Precision::table:
#ifdef HAT_LOOKUP
      multiply_table<R>(weights, reinterpret_cast<const int8_t*>(data), operand, row, output, relu, y, stride);
#endif
      return;
  }
}

using MultiplyPart = void (*)(const Matrix&, const std::byte*, const Operand&, int, int, bool, float*, size_t);
static constexpr MultiplyPart kMultiply[] = {
    nullptr,           multiply_part<1>, multiply_part<2>, multiply_part<3>, multiply_part<4>,
#if HAT_ROWS > 4
    multiply_part<5>,
#endif
#if HAT_ROWS > 5
    multiply_part<6>,  multiply_part<7>, multiply_part<8>,
#endif
};

static void multiply(const Matrix& weights, const Operand& operand, int row0, int rows, int block0, int block1,
                     bool relu, float* y, size_t stride) {
  const size_t block_bytes = weights.stored_groups * kGroupBytes * kBlock;
  for (int block = block0; block < block1; ++block) {
    const std::byte* data = static_cast<const std::byte*>(weights.data) + block * block_bytes;
    for (int part = 0; part < kParts; ++part) {
      const int lane = part * kVectors * kWidth;
      for (int row = 0; row < rows; row += kMaxRows)
        kMultiply[smaller(rows - row, kMaxRows)](weights, data + lane * kGroupBytes, operand, row0 + row,
                                                 block * kBlock + lane, relu,
                                                 y + row * stride + (block - block0) * kBlock + lane, stride);
    }
  }
}

// ---- what happens within a row ----

static void add_norm(float* x, const float* delta, const float* gain, const float* bias, int size, float* out) {
  const int whole = size / kWidth * kWidth;
  Floats total = all(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    Floats v = load(x + i);
    if (delta) store(x + i, v += load(delta + i));
    total += v;
  }
  float mean = sum(total);
  for (int i = whole; i < size; ++i) mean += delta ? x[i] += delta[i] : x[i];
  mean /= static_cast<float>(size);
  Floats squares = all(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats v = load(x + i) - mean;
    squares += v * v;
  }
  float variance = sum(squares);
  for (int i = whole; i < size; ++i) variance += (x[i] - mean) * (x[i] - mean);
  const float factor = 1.0f / __builtin_sqrtf(variance / static_cast<float>(size) + 1e-5f);
  for (int i = 0; i < whole; i += kWidth)
    store(out + i, (load(x + i) - mean) * factor * load(gain + i) + load(bias + i));
  for (int i = whole; i < size; ++i) out[i] = (x[i] - mean) * factor * gain[i] + bias[i];
}

static inline float dot(const float* a, const float* b, int size) {
  const int whole = size / kWidth * kWidth;
  Floats total = all(0.0f);
  for (int i = 0; i < whole; i += kWidth) total += load(a + i) * load(b + i);
  float result = whole ? sum(total) : 0.0f;
  for (int i = whole; i < size; ++i) result += a[i] * b[i];
  return result;
}

// scores[i] = e^(scores[i] − largest); returns their sum.
static float exponentials(float* scores, int count, float highest) {
  const int whole = count / kWidth * kWidth;
  Floats total = all(0.0f);
  for (int i = 0; i < whole; i += kWidth) {
    const Floats e = exponential(load(scores + i) - highest);
    store(scores + i, e);
    total += e;
  }
  float result = sum(total);
  if (whole < count) {
    float rest[kWidth];
    for (int i = 0; i < kWidth; ++i) rest[i] = whole + i < count ? scores[whole + i] - highest : -87.0f;
    const Floats e = exponential(load(rest));
    store(rest, e);
    for (int i = whole; i < count; ++i) result += scores[i] = rest[i - whole];
  }
  return result;
}

// out[0 … size) = Σ probabilities[k] · rows[k][0 … size), V vectors at a time.
template <int V>
static inline int weighted(const float* probabilities, const float* const* rows, int keys, size_t offset, int at,
                           int size, float factor, float* out) {
  for (; at + V * kWidth <= size; at += V * kWidth) {
    Floats total[V] = {};
    for (int k = 0; k < keys; ++k)
      for (int v = 0; v < V; ++v) total[v] += load(rows[k] + offset + at + v * kWidth) * probabilities[k];
    for (int v = 0; v < V; ++v) store(out + at + v * kWidth, total[v] * factor);
  }
  return at;
}

static void attend(const float* query, const float* const* rows, int keys, int heads, int head_dim, float* scratch,
                   float* out) {
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head_dim));
  const size_t values = static_cast<size_t>(heads) * head_dim;
  for (int head = 0; head < heads; ++head) {
    const size_t first = static_cast<size_t>(head) * head_dim;
    float highest = -__builtin_inff();
    for (int k = 0; k < keys; ++k) {
      scratch[k] = scale * dot(query + first, rows[k] + first, head_dim);
      highest = larger(scratch[k], highest);
    }
    const float factor = 1.0f / exponentials(scratch, keys, highest);
    int done = weighted<4>(scratch, rows, keys, values + first, 0, head_dim, factor, out + first);
    done = weighted<1>(scratch, rows, keys, values + first, done, head_dim, factor, out + first);
    for (; done < head_dim; ++done) {
      float total = 0;
      for (int k = 0; k < keys; ++k) total += scratch[k] * rows[k][values + first + done];
      out[first + done] = total * factor;
    }
  }
}

// ---- the vocabulary ----

// Of equal logits the lower id is better, so that the candidates do not depend on the order of comparison.
static inline bool is_worse(float value, int32_t id, float than, int32_t than_id) {
  return value < than || (value == than && id > than_id);
}

static void insert(LogitRow& row, float value, int32_t id) {
  int at = row.count < row.capacity ? row.count++ : row.capacity - 1;
  for (; at > 0 && is_worse(row.values[at - 1], row.ids[at - 1], value, id); --at) {
    row.values[at] = row.values[at - 1];
    row.ids[at] = row.ids[at - 1];
  }
  row.values[at] = value;
  row.ids[at] = id;
}

// Inserts those logits of a row that belong among its candidates; never NaN.
static void choose(LogitRow& row, const float* logits, int size, int first) {
  const int last = row.capacity - 1;
  float bar = row.count > last ? row.values[last] : -__builtin_inff();
  for (int i = 0; i < size; ++i) {
    if (!(logits[i] >= bar)) continue;
    const int id = first + i;
    if (id == row.forbidden[0] || id == row.forbidden[1]) continue;
    if (row.count > last && !is_worse(bar, row.ids[last], logits[i], id)) continue;
    insert(row, logits[i], id);
    if (row.count > last) bar = row.values[last];
  }
}

// Takes one row's logits of a chunk: candidates first, since the sum overwrites them.
static void look(LogitRow& row, float* logits, int size, int chunk) {
  const int first = chunk * kChunk;
  if (row.wanted >= first && row.wanted < first + size) row.wanted_logit = logits[row.wanted - first];
  const int whole = size / kWidth * kWidth;
  Floats highest = all(-3.4e38f);
  for (int i = 0; i < whole; i += kWidth) highest = larger(load(logits + i), highest);
  float peak = largest(highest);
  for (int i = whole; i < size; ++i) peak = larger(logits[i], peak);
  if (row.capacity && (row.count < row.capacity || peak >= row.values[row.count - 1]))
    choose(row, logits, size, first);
  row.chunk_max[chunk] = peak;
  row.chunk_sum[chunk] = exponentials(logits, size, peak);
}

static void project(const Matrix& weights, const Operand& operand, LogitRow* rows, int count, int chunk0, int chunk1,
                    float* scratch) {
  constexpr int kTile = 8;
  const int blocks = (weights.outputs + kBlock - 1) / kBlock;
  for (int chunk = chunk0; chunk < chunk1; ++chunk) {
    const int block0 = chunk * kChunkBlocks, block1 = smaller(blocks, block0 + kChunkBlocks);
    const int size = smaller(weights.outputs - chunk * kChunk, kChunk);
    for (int row = 0; row < count; row += kTile) {
      const int tile = smaller(count - row, kTile);
      multiply(weights, operand, row, tile, block0, block1, false, scratch, kChunk);
      for (int i = 0; i < tile; ++i) look(rows[row + i], scratch + i * kChunk, size, chunk);
    }
  }
}

#ifdef HAT_LOOKUP
constexpr bool kLooksUp = true;
#else
constexpr bool kLooksUp = false;
#endif

extern const Kernels kernels;
const Kernels kernels = {HAT_NAME, HAT_UNSIGNED, kLooksUp, prepare, multiply, add_norm, attend, project};

}  // namespace HAT_ISA
}  // namespace hat
