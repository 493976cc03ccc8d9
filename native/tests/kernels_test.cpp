// Every kernel of every instruction set that runs here, against the textbook in double precision. Each
// array is a heap block of exactly the size that kernels.h promises, so that AddressSanitizer sees a
// read or a write beyond it.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <random>

#include "check.h"
#include "kernels/dispatch.h"

using namespace hat;

namespace {

std::mt19937 generator(1);

std::vector<float> random_floats(size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

int padded(int count, int step) { return (count + step - 1) / step * step; }

float widened(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// A packed matrix, and the weights it stands for in double precision.
struct Packed {
  std::vector<std::byte> data, tables;
  std::vector<float> scales, bias;
  std::vector<double> exact;  // outputs × inputs
  Matrix matrix;

  Packed(const Kernels& kernels, Precision precision, int outputs, int inputs, bool with_bias = true)
      : scales(padded(outputs, kBlock), 0.0f), bias(padded(outputs, kBlock), 0.0f), exact(size_t(outputs) * inputs) {
    const int group = inputs_per_group(precision), groups = padded(inputs, group) / group;
    const int flip = multiplies_in_int8(precision) && kernels.unsigned_weights ? 0x80 : 0;
    data.assign(padded(outputs, kBlock) * size_t(groups) * kGroupBytes,
                std::byte(precision == Precision::int8 ? flip : 0));
    for (int i = 0; i < padded(outputs, kBlock) / kBlock * kTableSize; ++i)
      tables.push_back(std::byte(uint8_t(int(generator() % 255) - 127) ^ flip));
    for (int output = 0; output < outputs; ++output) {
      scales[output] = 0.01f * float(1 + output % 7);
      if (with_bias) bias[output] = float(output % 5) - 2.0f;
      for (int k = 0; k < inputs; ++k) {
        const size_t lane = (size_t(output / kBlock) * groups + k / group) * kBlock + output % kBlock;
        exact[size_t(output) * inputs + k] =
            precision == Precision::table ? put_code(kGroupBytes * lane + k % 4, k % 8 / 4, output, flip)
                                          : put(precision, group * lane + k % group, output, flip);
      }
    }
    const auto* values = reinterpret_cast<const int8_t*>(tables.data());
    matrix = {precision, outputs, inputs, groups, data.data(), scales.data(), with_bias ? bias.data() : nullptr, values};
  }

 private:
  double put_code(size_t place, int half, int output, int flip) {
    const size_t code = generator() % kTableSize;
    data[place] |= std::byte(code << 4 * half);
    const auto value = static_cast<int8_t>(tables[output / kBlock * kTableSize + code] ^ std::byte(flip));
    return double(value) * double(scales[output]);
  }

  double put(Precision precision, size_t place, int output, int flip) {
    if (precision == Precision::int8) {
      const int value = int(generator() % 255) - 127;
      data[place] = std::byte(uint8_t(value) ^ flip);
      return double(value) * double(scales[output]);
    }
    const float value = std::normal_distribution<float>()(generator);
    if (precision == Precision::float32) {
      std::memcpy(data.data() + 4 * place, &value, 4);
      return double(value);
    }
    const uint16_t high = uint16_t(std::bit_cast<uint32_t>(value) >> 16);
    std::memcpy(data.data() + 2 * place, &high, 2);
    return double(widened(high));
  }
};

// Activations as the engine lays them out.
struct Rows {
  std::vector<std::byte> data;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  Operand operand;

  Rows(const Kernels& kernels, Precision precision, const std::vector<float>& x, int rows, int inputs)
      : scales(rows), sums(rows) {
    const size_t stride = multiplies_in_int8(precision) ? padded(inputs, 8) : 4 * padded(inputs, 2);
    data.resize(stride * rows);
    operand = {data.data(), stride, scales.data(), sums.data()};
    for (int row = 0; row < rows; ++row)
      kernels.prepare(precision, x.data() + size_t(row) * inputs, inputs, row, operand);
  }
};

double product(const Packed& weights, const std::vector<float>& x, int row, int output) {
  const int inputs = weights.matrix.inputs;
  double sum = double(weights.bias[output]);
  for (int k = 0; k < inputs; ++k)
    sum += weights.exact[size_t(output) * inputs + k] * double(x[size_t(row) * inputs + k]);
  return sum;
}

// The error that a product may have from rounded activations: half a step of int8, 2^-9 of bfloat16.
double tolerance(const Packed& weights, const std::vector<float>& x, int row, int output) {
  const int inputs = weights.matrix.inputs;
  double peak = 0, size = 0, all = 0;
  for (int k = 0; k < inputs; ++k) {
    const double value = std::fabs(double(x[size_t(row) * inputs + k]));
    const double weight = std::fabs(weights.exact[size_t(output) * inputs + k]);
    peak = std::max(peak, value);
    size += weight;
    all += weight * value;
  }
  switch (weights.matrix.precision) {
    case Precision::float32: return 1e-5 + 1e-6 * all;
    case Precision::bfloat16: return 1e-5 + all / 256;
    case Precision::int8:
    case Precision::table: return 1e-4 + 0.51 * peak / 127 * size;
  }
  return 0;
}

void for_each_set(const std::function<void(const Kernels&)>& check) {
  for (const InstructionSet& set : instruction_sets()) {
    if (!set.usable()) continue;
    context = set.name;
    check(*set.kernels);
  }
}

// Calls check(kernels, precision) for every precision at which the kernels multiply.
void for_each_precision(const std::function<void(const Kernels&, Precision)>& check) {
  for_each_set([&](const Kernels& kernels) {
    for (const Precision precision : {Precision::float32, Precision::bfloat16, Precision::int8, Precision::table})
      if (precision != Precision::table || kernels.has_tables) check(kernels, precision);
  });
}

}  // namespace

TEST(products_match_double_precision) {
  for_each_precision([](const Kernels& kernels, Precision precision) {
    for (const int rows : {1, 2, 3, 5, 8, 9, 13})
      for (const auto& [outputs, inputs] : {std::pair{1, 1}, {33, 7}, {70, 48}, {129, 31}}) {
        const Packed weights(kernels, precision, outputs, inputs);
        const std::vector<float> x = random_floats(size_t(rows) * inputs);
        const Rows prepared(kernels, precision, x, rows, inputs);
        const int blocks = padded(outputs, kBlock) / kBlock;
        std::vector<float> y(size_t(rows) * blocks * kBlock);
        for (const bool relu : {false, true}) {
          kernels.multiply(weights.matrix, prepared.operand, 0, rows, 0, blocks, relu, y.data(),
                           size_t(blocks) * kBlock);
          for (int row = 0; row < rows; ++row)
            for (int output = 0; output < outputs; ++output) {
              const double exact = product(weights, x, row, output);
              CHECK_NEAR(y[size_t(row) * blocks * kBlock + output], relu ? std::max(exact, 0.0) : exact,
                         tolerance(weights, x, row, output));
            }
        }
      }
  });
}

TEST(a_row_has_the_same_products_alone_and_among_others) {
  for_each_precision([](const Kernels& kernels, Precision precision) {
    const int rows = 11, inputs = 45;
    const Packed weights(kernels, precision, 64, inputs);
    const std::vector<float> x = random_floats(rows * inputs);
    const Rows prepared(kernels, precision, x, rows, inputs);
    std::vector<float> together(rows * 64), alone(64);
    kernels.multiply(weights.matrix, prepared.operand, 0, rows, 0, 2, false, together.data(), 64);
    for (int row = 0; row < rows; ++row) {
      kernels.multiply(weights.matrix, prepared.operand, row, 1, 0, 2, false, alone.data(), 64);
      CHECK(std::equal(alone.begin(), alone.end(), together.begin() + row * 64));
    }
  });
}

TEST(products_of_zeros_and_of_large_numbers_are_exact) {
  for_each_precision([](const Kernels& kernels, Precision precision) {
    const Packed weights(kernels, precision, 32, 20);
    std::vector<float> x(3 * 20, 0.0f), y(3 * 32);
    for (int k = 0; k < 20; ++k) x[20 + k] = k % 2 ? -1e4f : 1e4f;
    x[40] = 1e-30f;
    const Rows prepared(kernels, precision, x, 3, 20);
    kernels.multiply(weights.matrix, prepared.operand, 0, 3, 0, 1, false, y.data(), 32);
    for (int output = 0; output < 32; ++output) {
      CHECK_NEAR(y[output], weights.bias[output], 1e-6);
      CHECK_NEAR(y[32 + output], product(weights, x, 1, output), tolerance(weights, x, 1, output) + 1.0);
      CHECK_NEAR(y[64 + output], weights.bias[output], 1e-6);
    }
  });
}

// 127 · 127 in every place: the largest possible sum, and the smallest.
TEST(sums_of_the_most_inputs_are_exact) {
  for_each_precision([](const Kernels& kernels, Precision precision) {
    if (!multiplies_in_int8(precision)) return;
    Packed weights(kernels, precision, 32, kMaxInt8Inputs, false);
    const std::byte most = std::byte(127) ^ std::byte(kernels.unsigned_weights ? 0x80 : 0);
    std::fill(weights.tables.begin(), weights.tables.end(), most);
    if (precision == Precision::int8) std::fill(weights.data.begin(), weights.data.end(), most);
    for (const float sign : {1.0f, -1.0f}) {
      const std::vector<float> x(kMaxInt8Inputs, sign);
      const Rows prepared(kernels, precision, x, 1, kMaxInt8Inputs);
      std::vector<float> y(32);
      kernels.multiply(weights.matrix, prepared.operand, 0, 1, 0, 1, false, y.data(), 32);
      for (int output = 0; output < 32; ++output) {
        const double exact = double(sign) * 127 * kMaxInt8Inputs * double(weights.scales[output]);
        CHECK_NEAR(y[output], exact, 1e-6 * std::fabs(exact));
      }
    }
  });
}

TEST(a_number_that_is_not_finite_spoils_its_row_and_no_other) {
  for_each_precision([](const Kernels& kernels, Precision precision) {
    for (const int inputs : {1, 20, 45})
      for (const float bad : {NAN, -NAN, INFINITY, -INFINITY})
        for (const int place : {0, inputs - 1}) {
          Packed weights(kernels, precision, 32, inputs);
          std::vector<float> x = random_floats(3 * inputs), y(3 * 32), scratch(kLogitScratch);
          x[inputs + place] = bad;
          const Rows prepared(kernels, precision, x, 3, inputs);
          kernels.multiply(weights.matrix, prepared.operand, 0, 3, 0, 1, std::isnan(bad), y.data(), 32);
          for (int i = 0; i < 3 * 32; ++i) CHECK(std::isfinite(y[i]) == (i / 32 != 1));
          float chunk_max[3], chunk_sum[3], value[3];
          int32_t id[3];
          std::vector<LogitRow> seen;
          for (int row = 0; row < 3; ++row)
            seen.push_back({&chunk_max[row], &chunk_sum[row], 0.0f, {0, {-1, -1}, 1}, 0, &value[row], &id[row]});
          kernels.project(weights.matrix, prepared.operand, seen.data(), 3, 0, 1, scratch.data());
          for (int row = 0; row < 3; ++row)
            CHECK(std::isfinite(chunk_max[row] + std::log(chunk_sum[row])) == (row != 1));
        }
  });
}

TEST(attention_to_a_number_that_is_not_finite_is_not_finite) {
  for_each_set([](const Kernels& kernels) {
    for (const int head_dim : {3, 16})
      for (const float bad : {NAN, INFINITY, 1e38f})
        for (const bool in_query : {false, true}) {
          std::vector<float> query(head_dim, 1e3f), scratch(2), out(head_dim);
          std::vector<float> first(2 * head_dim, 1.0f), second(2 * head_dim, 1.0f);
          (in_query ? query : second)[head_dim - 1] = bad;
          if (bad == 1e38f) (in_query ? second : query)[head_dim - 1] = bad;
          const float* rows[] = {first.data(), second.data()};
          kernels.attend(query.data(), rows, 2, 1, head_dim, scratch.data(), out.data());
          for (const float value : out) CHECK(!std::isfinite(value));
        }
  });
}

TEST(the_norm_of_a_row_that_is_not_finite_is_nan) {
  for_each_set([](const Kernels& kernels) {
    for (const int size : {3, 37})
      for (const float bad : {NAN, INFINITY}) {
        std::vector<float> x = random_floats(size), ones(size, 1.0f), out(size);
        x[size - 1] = bad;
        kernels.add_norm(x.data(), nullptr, ones.data(), ones.data(), size, out.data());
        for (const float value : out) CHECK(std::isnan(value));
      }
  });
}

TEST(layer_norm_matches_its_definition) {
  for_each_set([](const Kernels& kernels) {
    for (const int size : {1, 3, 16, 37, 640}) {
      const std::vector<float> before = random_floats(size), delta = random_floats(size);
      const std::vector<float> gain = random_floats(size), bias = random_floats(size);
      std::vector<float> x = before, apart(size), again(size);
      kernels.add_norm(x.data(), delta.data(), gain.data(), bias.data(), size, apart.data());
      for (int i = 0; i < size; ++i) CHECK(x[i] == before[i] + delta[i]);
      kernels.add_norm(x.data(), nullptr, gain.data(), bias.data(), size, again.data());
      CHECK(again == apart);
      x = before;
      kernels.add_norm(x.data(), delta.data(), gain.data(), bias.data(), size, x.data());
      CHECK(x == apart);
      double mean = 0, variance = 0;
      for (int i = 0; i < size; ++i) mean += double(before[i] + delta[i]) / size;
      for (int i = 0; i < size; ++i) variance += std::pow(double(before[i] + delta[i]) - mean, 2) / size;
      for (int i = 0; i < size; ++i) {
        const double normalized = (double(before[i] + delta[i]) - mean) / std::sqrt(variance + 1e-5);
        CHECK_NEAR(x[i], normalized * double(gain[i]) + double(bias[i]), 1e-4);
      }
    }
  });
}

TEST(attention_matches_its_definition) {
  for_each_set([](const Kernels& kernels) {
    for (const auto& [heads, head_dim] : {std::pair{1, 1}, {3, 8}, {2, 21}, {4, 64}})
      for (const int keys : {1, 2, 17, 40}) {
        const int width = heads * head_dim;
        const std::vector<float> query = random_floats(width);
        std::vector<std::vector<float>> memory;
        std::vector<const float*> rows;
        for (int k = 0; k < keys; ++k) memory.push_back(random_floats(2 * width));
        for (const auto& row : memory) rows.push_back(row.data());
        std::vector<float> scratch(keys), out(width);
        kernels.attend(query.data(), rows.data(), keys, heads, head_dim, scratch.data(), out.data());
        for (int i = 0; i < width; ++i) {
          const int first = i / head_dim * head_dim;
          double total = 0, weighted = 0;
          for (int k = 0; k < keys; ++k) {
            double score = 0;
            for (int j = first; j < first + head_dim; ++j) score += double(query[j]) * double(rows[k][j]);
            const double weight = std::exp(score / std::sqrt(double(head_dim)));
            total += weight;
            weighted += weight * double(rows[k][width + i]);
          }
          CHECK_NEAR(out[i], weighted / total, 1e-4);
        }
      }
  });
}

TEST(chunks_of_logits_give_the_candidates_and_the_sum) {
  for_each_precision([](const Kernels& kernels, Precision precision) {
    for (const int words : {5, 256, 700}) {
      const int rows = 3, inputs = 24, capacity = 4;
      const int chunks = padded(words, kChunk) / kChunk;
      const Packed weights(kernels, precision, words, inputs, false);
      const std::vector<float> x = random_floats(rows * inputs);
      const Rows prepared(kernels, precision, x, rows, inputs);
      std::vector<float> logits(size_t(rows) * padded(words, kBlock));
      kernels.multiply(weights.matrix, prepared.operand, 0, rows, 0, padded(words, kBlock) / kBlock, false,
                       logits.data(), padded(words, kBlock));
      std::vector<float> chunk_max(rows * chunks), chunk_sum(rows * chunks), values(rows * capacity);
      std::vector<float> scratch(kLogitScratch);
      std::vector<int32_t> ids(rows * capacity);
      std::vector<LogitRow> seen;
      for (int row = 0; row < rows; ++row)
        seen.push_back({&chunk_max[row * chunks], &chunk_sum[row * chunks], 0.0f, {words - 1, {2, -1}, capacity}, 0,
                        &values[row * capacity], &ids[row * capacity]});
      kernels.project(weights.matrix, prepared.operand, seen.data(), rows, 0, chunks, scratch.data());
      for (int row = 0; row < rows; ++row) {
        const float* of_row = &logits[size_t(row) * padded(words, kBlock)];
        std::vector<int> order;
        for (int word = 0; word < words; ++word)
          if (word != 2) order.push_back(word);
        std::sort(order.begin(), order.end(), [of_row](int a, int b) { return of_row[a] > of_row[b]; });
        CHECK(seen[row].count == capacity);
        for (int i = 0; i < capacity; ++i) CHECK(ids[row * capacity + i] == order[i]);
        CHECK(seen[row].wanted_logit == of_row[words - 1]);
        double exact = 0, merged = 0;
        for (int word = 0; word < words; ++word) exact += std::exp(double(of_row[word]));
        for (int chunk = 0; chunk < chunks; ++chunk)
          merged += double(chunk_sum[row * chunks + chunk]) * std::exp(double(chunk_max[row * chunks + chunk]));
        CHECK_NEAR(std::log(merged), std::log(exact), 1e-4);
      }
    }
  });
}

TEST(of_equal_logits_the_lower_ids_are_candidates) {
  for_each_set([](const Kernels& kernels) {
    constexpr int kWords = 3 * kChunk, kInputs = 8, kCapacity = 5;
    const Packed weights(kernels, Precision::float32, kWords, kInputs, false);
    const Rows prepared(kernels, Precision::float32, std::vector<float>(kInputs), 1, kInputs);  // all logits are 0
    std::vector<float> chunk_max(3), chunk_sum(3), values(kCapacity), scratch(kLogitScratch);
    std::vector<int32_t> ids(kCapacity);
    for (const std::vector<int>& order : {std::vector{0, 1, 2}, {2, 1, 0}, {1, 0, 2}}) {
      LogitRow row{chunk_max.data(), chunk_sum.data(), 0.0f, {-1, {0, 3}, kCapacity}, 0, values.data(), ids.data()};
      for (const int chunk : order)
        kernels.project(weights.matrix, prepared.operand, &row, 1, chunk, chunk + 1, scratch.data());
      CHECK(row.count == kCapacity);
      CHECK((ids == std::vector<int32_t>{1, 2, 4, 5, 6}));
    }
  });
}

TEST(a_step_of_adamw_is_the_textbooks_inside_and_outside_the_gradient) {
  for_each_set([](const Kernels& kernels) {
    const AdamWStep by{0.25f, 0.1f, 0.98f, 0.02f, 0.999f, 1e-3f, 1.2f, 1e-8f};
    for (const Precision precision : {Precision::float32, Precision::bfloat16})
      for (const size_t size : {1, 7, 16, 45, 130}) {
        const size_t inside = size * 2 / 3;
        std::vector<float> weights = random_floats(size), mean = random_floats(size), square = random_floats(size);
        for (float& value : square) value *= value;
        std::vector<float> gradient = random_floats(inside);
        std::vector<uint16_t> halves, copy(size);
        for (float& value : gradient) {
          halves.push_back(uint16_t(std::bit_cast<uint32_t>(value) >> 16));
          value = widened(halves.back());
        }
        const void* read = precision == Precision::float32 ? static_cast<const void*>(gradient.data()) : halves.data();
        const std::vector<float> w = weights, m = mean, v = square;
        kernels.adamw({weights.data(), mean.data(), square.data(), copy.data(), precision, read, inside}, size, by);
        double squares = 0;
        for (size_t i = 0; i < size; ++i) {
          const double slope = i < inside ? 0.25 * double(gradient[i]) : 0, moment = m[i] + 0.1 * (slope - m[i]);
          const double power = 0.98 * v[i] + 0.02 * slope * slope;
          CHECK_NEAR(mean[i], moment, 1e-6);
          CHECK_NEAR(square[i], power, 1e-6);
          CHECK_NEAR(weights[i], 0.999 * w[i] - 1e-3 * moment / (1.2 * std::sqrt(power) + 1e-8), 1e-6);
          CHECK_NEAR(widened(copy[i]), weights[i], std::fabs(weights[i]) / 256);
          if (i < inside) squares += 16 * slope * slope;
        }
        CHECK_NEAR(kernels.square_sum(precision, read, inside), squares, 1e-5 * squares);
      }
  });
}

TEST(the_smoothed_loss_and_its_gradient_are_the_textbooks) {
  for_each_set([](const Kernels& kernels) {
    const float smoothing = 0.1f;
    for (const int words : {32, 45, 700}) {
      std::vector<uint16_t> logits, gradient(words);
      double total = 0, mean = 0;
      for (const float value : random_floats(words)) logits.push_back(uint16_t(std::bit_cast<uint32_t>(4 * value) >> 16));
      for (const uint16_t logit : logits) total += std::exp(double(widened(logit))), mean += widened(logit) / double(words);
      const int target = words - 2;
      std::vector<float> scratch(words);
      const float loss = kernels.smoothed_loss(logits.data(), words, target, smoothing, scratch.data(), gradient.data());
      CHECK_NEAR(loss, std::log(total) - 0.9 * widened(logits[target]) - 0.1 * mean, 1e-4);
      for (int i = 0; i < words; ++i) {
        const double exact = std::exp(double(widened(logits[i]))) / total - 0.1 / words - (i == target ? 0.9 : 0);
        CHECK_NEAR(widened(gradient[i]), exact, std::fabs(exact) / 200 + 1e-7);
      }
    }
  });
}

TEST(attention_of_a_head_is_the_textbooks) {
  for_each_set([](const Kernels& kernels) {
    for (const auto [queries, keys, dim] : {std::array{1, 1, 8}, {9, 17, 20}, {15, 15, 32}}) {
      const HeadShape shape{queries, keys, dim, 0.3f};
      const auto rows = [](int count, int size) {
        std::vector<uint16_t> halves;
        for (const float value : random_floats(size_t(count) * size))
          halves.push_back(uint16_t(std::bit_cast<uint32_t>(value) >> 16));
        return halves;
      };
      std::vector<uint16_t> q = rows(queries, dim), k = rows(keys, dim), v = rows(keys, dim), out(queries * dim);
      std::vector<uint8_t> seen(keys, 1);
      if (keys > 2) seen[1] = 0;
      std::vector<float> scratch(head_scratch(shape));
      const size_t step = dim;
      kernels.attention(shape, {q.data(), step}, {k.data(), step}, {v.data(), step}, {seen.data(), 0}, scratch.data(),
                        {out.data(), step});
      for (int t = 0; t < queries; ++t) {
        std::vector<double> weights(keys);
        double total = 0;
        for (int s = 0; s < keys; ++s) {
          double score = 0;
          for (int i = 0; i < dim; ++i) score += double(widened(q[t * dim + i])) * double(widened(k[s * dim + i]));
          total += weights[s] = seen[s] ? std::exp(0.3 * score) : 0;
        }
        for (int i = 0; i < dim; ++i) {
          double exact = 0;
          for (int s = 0; s < keys; ++s) exact += weights[s] / total * double(widened(v[s * dim + i]));
          CHECK_NEAR(widened(out[t * dim + i]), exact, std::fabs(exact) / 200 + 1e-4);
        }
      }
    }
  });
}
