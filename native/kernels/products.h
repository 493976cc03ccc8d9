// Products of a packed matrix and rows of activations. The functions multiply_<precision><R> take R rows and one tile,
// kVectors vectors of outputs, whose weights begin at `data` and whose first output is `output`.
#pragma once
#include "kernels/vectors.h"

namespace hat::HAT_ISA {

constexpr int kVectors = HAT_VECTORS;
constexpr int kTiles = kBlock / (kWidth * kVectors);
constexpr int kMaxRows = HAT_ROWS;

static inline void store_output(Floats x, bool relu, float* y) { store(y, relu ? larger(broadcast(0.0f), x) : x); }

static inline Floats bias_of(const Matrix& weights, int output, int vector) {
  return weights.bias ? load(weights.bias + output + vector * kWidth) : broadcast(0.0f);
}

template <int R>
static inline void finish_float(const Floats (&sums)[R][kVectors], const Matrix& weights, int output, bool relu,
                                float* y, size_t stride) {
  for (int v = 0; v < kVectors; ++v) {
    const Floats bias = bias_of(weights, output, v);
    for (int r = 0; r < R; ++r) store_output(sums[r][v] + bias, relu, y + r * stride + v * kWidth);
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
  finish_float<R>(sums, weights, output, relu, y, stride);
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
      for (int v = 0; v < kVectors; ++v) sums[r][v] = dot2(sums[r][v], w[v], broadcast_ints(pair));
    }
#else
    Floats even[kVectors], odd[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      even[v] = (Floats)(w[v] << 16);
      odd[v] = (Floats)(w[v] & static_cast<int32_t>(0xffff0000u));
    }
    for (int r = 0; r < R; ++r) {
      const float* x = reinterpret_cast<const float*>(rows + r * operand.stride) + 2 * k;
      for (int v = 0; v < kVectors; ++v) sums[r][v] += even[v] * x[0];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += odd[v] * x[1];
    }
#endif
  }
  finish_float<R>(sums, weights, output, relu, y, stride);
}

// Adds to totals the products of w and 4 bytes of each row, which begin at x.
template <int R>
static inline void add_dots(Ints (&totals)[R][kVectors], const Ints (&w)[kVectors], const std::byte* x, size_t stride) {
  for (int r = 0; r < R; ++r) {
    int32_t group;
    std::memcpy(&group, x + r * stride, 4);
    for (int v = 0; v < kVectors; ++v) totals[r][v] = dot4(totals[r][v], w[v], broadcast_ints(group));
  }
}

template <int R>
static inline void finish_int8(const Ints (&totals)[R][kVectors], const Matrix& weights, const Operand& operand,
                               int row, int output, bool relu, float* y, size_t stride) {
  for (int v = 0; v < kVectors; ++v) {
    const Floats scale = load(weights.scales + output + v * kWidth), bias = bias_of(weights, output, v);
    for (int r = 0; r < R; ++r) {
      // Modulo 2^32, like totals and sums of unsigned weights; the difference itself fits into 32 bits
      // (kMaxInt8Inputs).
      const Words signed_total = HAT_UNSIGNED ? (Words)totals[r][v] - static_cast<uint32_t>(operand.sums[row + r])
                                              : (Words)totals[r][v];
      const Floats exact = __builtin_convertvector((Ints)signed_total, Floats);
      // One expression, so that it is fused for every R: the result of a row must not depend on how many others
      // are multiplied with it.
      store_output(exact * (scale * operand.scales[row + r]) + bias, relu, y + r * stride + v * kWidth);
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

#ifdef HAT_TABLES
template <int R>
static void multiply_table(const Matrix& weights, const int8_t* data, const Operand& operand, int row, int output,
                           bool relu, float* y, size_t stride) {
  Ints totals[R][kVectors] = {};
  const Ints table = table_of(weights.tables + output / kBlock * kTableSize);
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
static void multiply_tile(const Matrix& weights, const std::byte* data, const Operand& operand, int row, int output,
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
#ifdef HAT_TABLES
      multiply_table<R>(weights, reinterpret_cast<const int8_t*>(data), operand, row, output, relu, y, stride);
#endif
      return;
  }
}

using MultiplyTile = void (*)(const Matrix&, const std::byte*, const Operand&, int, int, bool, float*, size_t);
static constexpr MultiplyTile kMultiply[] = {
    nullptr,           multiply_tile<1>, multiply_tile<2>, multiply_tile<3>, multiply_tile<4>,
#if HAT_ROWS > 4
    multiply_tile<5>,
#endif
#if HAT_ROWS > 5
    multiply_tile<6>,  multiply_tile<7>, multiply_tile<8>,
#endif
};

static void multiply(const Matrix& weights, const Operand& operand, int row0, int rows, int block0, int block1,
                     bool relu, float* y, size_t stride) {
  const size_t block_bytes = weights.stored_groups * kGroupBytes * kBlock;
  for (int block = block0; block < block1; ++block) {
    const std::byte* data = static_cast<const std::byte*>(weights.data) + block * block_bytes;
    for (int tile = 0; tile < kTiles; ++tile) {
      const int lane = tile * kVectors * kWidth;
      for (int row = 0; row < rows; row += kMaxRows)
        kMultiply[smaller(rows - row, kMaxRows)](weights, data + lane * kGroupBytes, operand, row0 + row,
                                                 block * kBlock + lane, relu,
                                                 y + row * stride + (block - block0) * kBlock + lane, stride);
    }
  }
}

}  // namespace hat::HAT_ISA
