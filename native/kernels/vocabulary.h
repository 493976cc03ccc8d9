// Logits: the candidates, the sum of exponentials and the logit of a wanted token, chunk by chunk.
#pragma once
#include "kernels/products.h"

namespace hat::HAT_ISA {

// Of equal logits the lower id is better, so that the candidates do not depend on the order of the chunks.
static inline bool is_worse(float value, int32_t id, float than, int32_t than_id) {
  return value < than || (value == than && id > than_id);
}

static void insert_candidate(LogitRow& row, float value, int32_t id) {
  int at = row.count < row.request.candidates ? row.count++ : row.request.candidates - 1;
  for (; at > 0 && is_worse(row.values[at - 1], row.ids[at - 1], value, id); --at) {
    row.values[at] = row.values[at - 1];
    row.ids[at] = row.ids[at - 1];
  }
  row.values[at] = value;
  row.ids[at] = id;
}

// Inserts the logits that belong among the candidates of a row, for tokens from `first` on. A NaN never does.
static void collect_candidates(LogitRow& row, const float* logits, int size, int first) {
  const int last = row.request.candidates - 1;
  float bar = row.count > last ? row.values[last] : -__builtin_inff();
  for (int i = 0; i < size; ++i) {
    if (!(logits[i] >= bar)) continue;
    const int id = first + i;
    if (id == row.request.forbidden[0] || id == row.request.forbidden[1]) continue;
    if (row.count > last && !is_worse(bar, row.ids[last], logits[i], id)) continue;
    insert_candidate(row, logits[i], id);
    if (row.count > last) bar = row.values[last];
  }
}

// Looks through the logits of one row and one chunk. Candidates come first: the exponentials overwrite the logits.
static void scan_logits(LogitRow& row, float* logits, int size, int chunk) {
  const int first = chunk * kChunk, wanted = row.request.wanted;
  if (wanted >= first && wanted < first + size) row.wanted_logit = logits[wanted - first];
  const int whole = size / kWidth * kWidth;
  Floats highest = broadcast(-3.4e38f);
  for (int i = 0; i < whole; i += kWidth) highest = larger(load(logits + i), highest);
  float peak = largest(highest);
  for (int i = whole; i < size; ++i) peak = larger(logits[i], peak);
  if (row.request.candidates && (row.count < row.request.candidates || peak >= row.values[row.count - 1]))
    collect_candidates(row, logits, size, first);
  row.chunk_max[chunk] = peak;
  row.chunk_sum[chunk] = exponentials(logits, size, peak);
}

static void project(const Matrix& weights, const Operand& operand, LogitRow* rows, int count, int chunk0, int chunk1,
                    float* scratch) {
  const int blocks = (weights.outputs + kBlock - 1) / kBlock;
  for (int chunk = chunk0; chunk < chunk1; ++chunk) {
    const int block0 = chunk * kChunkBlocks, block1 = smaller(blocks, block0 + kChunkBlocks);
    const int size = smaller(weights.outputs - chunk * kChunk, kChunk);
    for (int row = 0; row < count; row += kLogitRows) {
      const int tile = smaller(count - row, kLogitRows);
      multiply(weights, operand, row, tile, block0, block1, false, scratch, kChunk);
      for (int i = 0; i < tile; ++i) scan_logits(rows[row + i], scratch + i * kChunk, size, chunk);
    }
  }
}

}  // namespace hat::HAT_ISA
