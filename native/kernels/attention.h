// Attention of one head over a whole sequence, in training: its outputs, and its gradients from theirs.
#pragma once
#include "kernels/vectors.h"

namespace hat::HAT_ISA {

static inline int whole_vectors(int size) { return (size + kWidth - 1) / kWidth * kWidth; }

// Matrices of floats in the scratch of a call, whose rows are whole vectors with zeros at their ends.
struct HeadScratch {
  float *queries, *keys, *values, *turned, *probabilities, *slopes, *outputs;

  HeadScratch(const HeadShape& shape, float* at) {
    const int rows = shape.queries > shape.keys ? shape.queries : shape.keys;
    const size_t matrix = size_t(rows) * whole_vectors(shape.dim);
    const size_t scores = size_t(shape.queries) * whole_vectors(shape.keys);
    queries = at;
    keys = queries + matrix;
    values = keys + matrix;
    outputs = values + matrix;
    probabilities = outputs + matrix;
    slopes = probabilities + scores;
    turned = slopes + scores;
  }
};

static inline void read_rows(const HeadRows& from, int rows, int dim, float* out) {
  const int padded = whole_vectors(dim), whole = dim / kWidth * kWidth;
  for (int row = 0; row < rows; ++row, out += padded) {
    const uint16_t* in = from.data + row * from.stride;
    for (int i = 0; i < whole; i += kWidth) store(out + i, load_halves(in + i));
    for (int i = whole; i < padded; ++i) out[i] = i < dim ? widened(in[i]) : 0.0f;
  }
}

static inline void write_rows(const float* in, int rows, int dim, float factor, const HeadRows& to) {
  const int padded = whole_vectors(dim), whole = dim / kWidth * kWidth;
  for (int row = 0; row < rows; ++row, in += padded) {
    uint16_t* out = to.data + row * to.stride;
    for (int i = 0; i < whole; i += kWidth) store_halves(out + i, load(in + i) * factor);
    for (int i = whole; i < dim; ++i) out[i] = to_bfloat16(in[i] * factor);
  }
}

// out (dim × whole vectors of rows) = the transpose of in (rows × whole vectors of dim).
static inline void turn(const float* in, int rows, int dim, float* out) {
  const int width = whole_vectors(dim), padded = whole_vectors(rows);
  for (int i = 0; i < dim; ++i)
    for (int row = 0; row < padded; ++row) out[i * padded + row] = row < rows ? in[row * width + i] : 0.0f;
}

template <int kSomeRows>
static inline void multiply_rows(const float* a, int row_step, int step, const float* b, int terms, int columns,
                                 float* out) {
  for (int column = 0; column < columns; column += kWidth) {
    Floats sums[kSomeRows];
    for (Floats& one : sums) one = broadcast(0.0f);
    for (int k = 0; k < terms; ++k) {
      const Floats factor = load(b + k * columns + column);
      for (int r = 0; r < kSomeRows; ++r) sums[r] += a[r * row_step + k * step] * factor;
    }
    for (int r = 0; r < kSomeRows; ++r) store(out + r * columns + column, sums[r]);
  }
}

// out (rows × columns) = a (rows × terms) · b (terms × columns); element (r, k) of a is a[r · row_step + k · step], so
// that a may be read as its transpose. `columns` are whole vectors.
static inline void multiply_small(const float* a, int row_step, int step, const float* b, int rows, int terms,
                                  int columns, float* out) {
  // The last rows are computed together with some before them, whose results are written again.
  constexpr int kSome = 8;
  if (rows < kSome)
    for (int row = 0; row < rows; ++row)
      multiply_rows<1>(a + row * row_step, row_step, step, b, terms, columns, out + size_t(row) * columns);
  else
    for (int next = 0; next < rows; next += kSome) {
      const int row = smaller(next, rows - kSome);
      multiply_rows<kSome>(a + row * row_step, row_step, step, b, terms, columns, out + size_t(row) * columns);
    }
}

constexpr float kUnseen = -1e30f;  // added to the score of a key that a query does not see

// Reads queries, keys and values, and computes the probabilities.
static inline void attend_all(const HeadShape& shape, const HeadScratch& at, const HeadRows& q, const HeadRows& k,
                              const HeadRows& v, const HeadMask& mask) {
  const int dim = whole_vectors(shape.dim), longest = whole_vectors(shape.keys);
  read_rows(q, shape.queries, shape.dim, at.queries);
  read_rows(k, shape.keys, shape.dim, at.keys);
  read_rows(v, shape.keys, shape.dim, at.values);
  turn(at.keys, shape.keys, shape.dim, at.turned);
  multiply_small(at.queries, dim, 1, at.turned, shape.queries, shape.dim, longest, at.probabilities);
  for (int row = 0; row < shape.queries; ++row) {
    float* scores = at.probabilities + size_t(row) * longest;
    const uint8_t* seen = mask.data ? mask.data + row * mask.stride : nullptr;
    for (int i = 0; i < shape.keys; ++i) scores[i] = scores[i] * shape.scale + (seen && !seen[i] ? kUnseen : 0.0f);
    for (int i = shape.keys; i < longest; ++i) scores[i] = kUnseen;
    Floats highest = load(scores);
    for (int i = kWidth; i < longest; i += kWidth) highest = larger(load(scores + i), highest);
    const float factor = 1 / exponentials(scores, longest, largest(highest));
    for (int i = shape.keys; i < longest; ++i) scores[i] = 0;
    for (int i = 0; i < shape.keys; ++i) scores[i] = seen && !seen[i] ? 0.0f : scores[i];
    for (int i = 0; i < longest; i += kWidth) store(scores + i, load(scores + i) * factor);
  }
}

static void attention(const HeadShape& shape, const HeadRows& q, const HeadRows& k, const HeadRows& v,
                      const HeadMask& mask, float* scratch, const HeadRows& out) {
  const HeadScratch at(shape, scratch);
  const int dim = whole_vectors(shape.dim), longest = whole_vectors(shape.keys);
  attend_all(shape, at, q, k, v, mask);
  multiply_small(at.probabilities, longest, 1, at.values, shape.queries, shape.keys, dim, at.outputs);
  write_rows(at.outputs, shape.queries, shape.dim, 1, out);
}

static void attention_gradients(const HeadShape& shape, const HeadRows& q, const HeadRows& k, const HeadRows& v,
                                const HeadMask& mask, const HeadRows& slope, float* scratch, const HeadRows& dq,
                                const HeadRows& dk, const HeadRows& dv) {
  const HeadScratch at(shape, scratch);
  const int dim = whole_vectors(shape.dim), longest = whole_vectors(shape.keys);
  attend_all(shape, at, q, k, v, mask);
  turn(at.values, shape.keys, shape.dim, at.turned);
  read_rows(slope, shape.queries, shape.dim, at.outputs);
  multiply_small(at.outputs, dim, 1, at.turned, shape.queries, shape.dim, longest, at.slopes);
  multiply_small(at.probabilities, 1, longest, at.outputs, shape.keys, shape.queries, dim, at.values);
  write_rows(at.values, shape.keys, shape.dim, 1, dv);
  for (int row = 0; row < shape.queries; ++row) {
    const float* p = at.probabilities + size_t(row) * longest;
    float* d = at.slopes + size_t(row) * longest;
    Floats total = broadcast(0.0f);
    for (int i = 0; i < longest; i += kWidth) total += load(p + i) * load(d + i);
    const float mean = sum(total);
    for (int i = 0; i < longest; i += kWidth) store(d + i, load(p + i) * (load(d + i) - mean));
  }
  multiply_small(at.slopes, longest, 1, at.keys, shape.queries, shape.keys, dim, at.outputs);
  write_rows(at.outputs, shape.queries, shape.dim, shape.scale, dq);
  multiply_small(at.slopes, 1, longest, at.queries, shape.keys, shape.queries, dim, at.values);
  write_rows(at.values, shape.keys, shape.dim, shape.scale, dk);
}

}  // namespace hat::HAT_ISA
