// Whole models with random weights: scoring repeats the scores of a search, instruction sets agree with each other,
// and impossible inputs and shapes are refused.
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <random>
#include <stdexcept>

#include "check.h"
#include "engine/engine.h"
#include "kernels/dispatch.h"

using namespace hat;

namespace {

constexpr Precision kPrecisions[] = {Precision::float32, Precision::bfloat16, Precision::int8, Precision::table};

// Those with separate embeddings are pre-norm.
ModelConfig config_of(Precision precision, bool shared, int embedding_rank = 0) {
  return {precision, precision, 21, 18, 24, 18, shared ? 300 : 40, 300, shared, !shared,
          {{37, {2, 24}}, {16, {3, 24}}, {5, {1, 24}}}, {{29, {3, 24}, {4, 24}, 2}, {40, {1, 24}, {6, 24}, 3}},
          embedding_rank};
}

// Random elements, which depend on the name only.
std::vector<std::byte> tensor_of(const std::string& name, Precision elements, size_t count) {
  std::mt19937 generator(std::hash<std::string>()(name) & 0xffff);
  const bool scale = name.ends_with(".scale"), gain = name.ends_with("norm.weight");
  const size_t bytes = elements == Precision::float32 ? 4 : elements == Precision::bfloat16 ? 2 : 1;
  std::vector<std::byte> tensor(count * bytes);
  for (size_t i = 0; i < count; ++i) {
    const float noise = std::normal_distribution<float>(0.0f, 0.25f)(generator);
    const float value = scale ? 0.004f : gain ? 1.0f + 0.3f * noise : noise;
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint16_t high = uint16_t(bits >> 16);
    if (elements == Precision::float32) std::memcpy(&tensor[4 * i], &bits, 4);
    if (elements == Precision::bfloat16) std::memcpy(&tensor[2 * i], &high, 2);
    if (elements == Precision::int8) tensor[i] = std::byte(uint8_t(int(generator() % 255) - 127));
    if (elements == Precision::table) tensor[i] = std::byte(generator() % 16);
  }
  return tensor;
}

// The same weights for every instruction set. `equal_logits`: all embeddings are zero.
std::shared_ptr<const Model> model_of(const ModelConfig& config, const Kernels& kernels, bool equal_logits = false) {
  std::vector<std::byte> tensor;
  const WeightSource source = [&](const std::string& name, Precision elements, size_t count) -> const void* {
    tensor = tensor_of(name, elements, count);
    if (equal_logits && name.find("embedding") != std::string::npos)
      std::fill(tensor.begin(), tensor.end(), std::byte(0));
    return tensor.data();
  };
  return std::make_shared<Model>(config, kernels, source);
}

const std::vector<Sentence> kSources = {{5, 9, 30, 2}, {2}, {7, 8, 9, 10, 11, 12, 13, 14, 15, 2}, {39, 2}};

// Beam search takes keys and values of ancestors from the cache; scoring computes those of the finished target again.
void check_translations(Engine& engine, const DecodeOptions& options) {
  const auto translations = engine.translate(kSources, options);
  CHECK(translations.size() == kSources.size());
  for (size_t i = 0; i < translations.size(); ++i) {
    CHECK(static_cast<int>(translations[i].size()) == options.nbest);
    for (size_t rank = 0; rank < translations[i].size(); ++rank) {
      const Hypothesis& one = translations[i][rank];
      const int most = int(options.max_length_factor * double(kSources[i].size())) + options.max_length_offset;
      CHECK(static_cast<int>(one.tokens.size()) >= options.min_length && static_cast<int>(one.tokens.size()) <= most);
      CHECK(one.tokens.back() == 2);
      CHECK(rank == 0 || one.score <= translations[i][rank - 1].score);
      double total = 0;
      for (const float score : one.token_scores) total += double(score);
      CHECK_NEAR(one.score, total / std::pow(double(one.tokens.size()), options.length_penalty), 1e-4);
      const std::vector<float> again = engine.score({kSources[i]}, {one.tokens})[0];
      CHECK(again.size() == one.tokens.size());
      for (size_t t = 0; t < again.size(); ++t) CHECK_NEAR(again[t], one.token_scores[t], 2e-4);
    }
  }
}

// Widths of attentions of their own, layers without one part, with no part, or with only one, and several passes.
ModelConfig uneven_config_of(Precision precision, bool shared) {
  ModelConfig config = config_of(precision, shared);
  config.encoder = {{37, {0, 0}}, {0, {3, 36}, 2}, {0, {0, 0}, 3}, {5, {1, 8}, 2}};
  config.decoder = {{0, {3, 12}, {0, 0}, 1, 2}, {40, {0, 0}, {6, 48}, 3, 3}, {0, {0, 0}, {0, 0}, 1, 2}, {7, {2, 8}, {1, 5}, 2, 2}};
  return config;
}

void for_each_model(const std::function<void(const ModelConfig&, const Kernels&)>& check) {
  for (const InstructionSet& set : instruction_sets()) {
    if (!set.usable()) continue;
    for (const Precision precision : kPrecisions)
      for (const bool shared : {false, true}) {
        if (precision == Precision::table && !set.kernels->has_tables) continue;
        context = std::string(set.name) + ", precision " + std::to_string(int(precision)) + (shared ? ", shared" : "");
        check(config_of(precision, shared), *set.kernels);
        const std::string even = context;
        context = even + ", uneven";
        check(uneven_config_of(precision, shared), *set.kernels);
        for (const int rank : {10, 50}) {
          context = even + ", rank " + std::to_string(rank);
          check(config_of(precision, shared, rank), *set.kernels);
        }
      }
  }
}

}  // namespace

TEST(scoring_repeats_the_scores_of_the_search) {
  for_each_model([](const ModelConfig& config, const Kernels& kernels) {
    const auto model = model_of(config, kernels);
    for (const int threads : {1, 3}) {
      Engine engine(model, threads);
      for (const int beam : {1, 2, 5, 9}) check_translations(engine, {beam, std::min(beam, 3), 3, 6, 0.7, 1.5});
    }
  });
}

// The threads divide the work differently in each call.
TEST(translations_do_not_depend_on_the_number_of_threads) {
  const DecodeOptions options{4, 4, 1, 12, 1.0, 1.0};
  for (const bool equal_logits : {false, true}) {
    ModelConfig config = config_of(Precision::float32, true);
    config.source_vocab = config.target_vocab = 2100;
    const auto model = model_of(config, choose_kernels("auto"), equal_logits);
    const auto expected = Engine(model, 1).translate(kSources, options);
    for (const int threads : {2, 3, 5}) {
      Engine engine(model, threads);
      for (int turn = 0; turn < 20; ++turn) {
        const auto translations = engine.translate(kSources, options);
        for (size_t i = 0; i < expected.size(); ++i)
          for (size_t rank = 0; rank < expected[i].size(); ++rank) {
            CHECK(translations[i][rank].tokens == expected[i][rank].tokens);
            CHECK(translations[i][rank].token_scores == expected[i][rank].token_scores);
          }
      }
    }
  }
}

TEST(instruction_sets_agree) {
  std::map<std::string, std::vector<std::vector<float>>> first;
  for_each_model([&first](const ModelConfig& config, const Kernels& kernels) {
    Engine engine(model_of(config, kernels), 2);
    const std::vector<Sentence> targets = {{5, 6, 2}, {200, 299, 4, 5, 6, 7, 2}, {2}, {9, 2}};
    const auto scores = engine.score(kSources, targets);
    const auto& expected = first.emplace(context.substr(context.find(',')), scores).first->second;
    // Activations are rounded to bfloat16 on some processors only.
    // Rows of random int8 embeddings fall halfway between two steps of their operand, where the last bit decides; those
    // of artefacts, whose largest element is 127, do not.
    const bool halfway = config.embedding_rank && multiplies_in_int8(config.precision);
    const double tolerance = config.precision == Precision::bfloat16 ? 0.05 : halfway ? 0.2 : 1e-3;
    for (size_t i = 0; i < scores.size(); ++i)
      for (size_t t = 0; t < scores[i].size(); ++t) CHECK_NEAR(scores[i][t], expected[i][t], tolerance);
  });
}

TEST(an_engine_serves_calls_of_different_sizes) {
  Engine engine(model_of(config_of(Precision::int8, true), choose_kernels("auto")), 2);
  const DecodeOptions small{1, 1, 1, 4, 1.0, 0.0}, large{6, 6, 1, 40, 1.0, 0.0};
  const auto expected = engine.translate({kSources[0]}, small);
  const Sentence long_source(150, 7);
  engine.translate({long_source, kSources[1], long_source}, large);
  CHECK(engine.translate({kSources[0]}, small)[0][0].tokens == expected[0][0].tokens);
  CHECK(engine.translate({}, small).empty());
}

TEST(impossible_inputs_and_shapes_are_refused) {
  const ModelConfig good = config_of(Precision::float32, true);
  Engine engine(model_of(good, choose_kernels("auto")), 1);
  CHECK_THROWS(std::invalid_argument, engine.translate({{300, 2}}, DecodeOptions{}));
  CHECK_THROWS(std::invalid_argument, engine.translate({{-1, 2}}, DecodeOptions{}));
  CHECK_THROWS(std::invalid_argument, engine.translate({{}}, DecodeOptions{}));
  CHECK_THROWS(std::invalid_argument, engine.score({{5, 2}}, {{300}}));
  const DecodeOptions widest{.beam = 1 << 12};
  CHECK_THROWS(std::invalid_argument, engine.translate(std::vector<Sentence>(5, {5, 2}), widest));
  CHECK_THROWS(std::invalid_argument, choose_kernels("abacus"));
  for (int ModelConfig::*member :
       {&ModelConfig::encoder_dim, &ModelConfig::decoder_dim, &ModelConfig::target_vocab, &ModelConfig::embedding_rank})
    for (const int value : {0, -1, 1 << 30}) {
      if (member == &ModelConfig::embedding_rank && value == 0) continue;  // no factors
      ModelConfig bad = good;
      bad.*member = value;
      CHECK_THROWS(std::invalid_argument, bad.check());
    }
  ModelConfig bad = good;
  bad.decoder[0].encoder_layers_attended = 4;
  CHECK_THROWS(std::invalid_argument, bad.check());
  bad = good;
  bad.embedding_precision = Precision::int8;
  CHECK_THROWS(std::invalid_argument, bad.check());
  bad = good;
  bad.encoder[1].attention.heads = 5;
  CHECK_THROWS(std::invalid_argument, bad.check());
  for (const int value : {0, -1, 1 << 30}) {
    bad = good;
    bad.decoder[1].attention.qkv_dim = value;
    CHECK_THROWS(std::invalid_argument, bad.check());
    bad = good;
    bad.decoder[0].cross.qkv_dim = value;
    CHECK_THROWS(std::invalid_argument, bad.check());
  }
  bad = good;
  bad.decoder[0].cross.heads = -1;
  CHECK_THROWS(std::invalid_argument, bad.check());
  for (const int passes : {0, 65}) {
    bad = good;
    bad.encoder[0].passes = passes;
    CHECK_THROWS(std::invalid_argument, bad.check());
    bad = good;
    bad.decoder[1].passes = passes;
    CHECK_THROWS(std::invalid_argument, bad.check());
  }
  bad = good;
  bad.encoder[0].ffn_dim = -1;
  CHECK_THROWS(std::invalid_argument, bad.check());
}

TEST(widths_whose_int8_sums_overflow_are_refused_in_int8_only) {
  for (const Precision precision : kPrecisions) {
    const ModelConfig good = config_of(precision, true);
    const auto accepted = [&](const auto& widen) {
      ModelConfig config = good;
      widen(config);
      try {
        config.check();
        return true;
      } catch (const std::invalid_argument&) {
        return false;
      }
    };
    for (const int width : {kMaxInt8Inputs, kMaxInt8Inputs + 1}) {
      const bool fits = !multiplies_in_int8(precision) || width <= kMaxInt8Inputs;
      CHECK(accepted([&](ModelConfig& c) { c.encoder[1].ffn_dim = width; }) == fits);
      CHECK(accepted([&](ModelConfig& c) { c.decoder[0].ffn_dim = width; }) == fits);
      CHECK(accepted([&](ModelConfig& c) { c.embedding_rank = width; }) == fits);
      CHECK(accepted([&](ModelConfig& c) { c.encoder_dim = c.encoder_super_dim = width; }) == fits);
      CHECK(accepted([&](ModelConfig& c) { c.decoder_dim = c.decoder_super_dim = width; }) == fits);
      CHECK(accepted([&](ModelConfig& c) {
              c.encoder[0].attention = c.decoder[0].cross = c.decoder[1].attention = {1, width};
            }) == fits);
    }
  }
}
