// Whole models with random weights: a search agrees with a second pass over what it found, instruction sets
// agree with each other, and what cannot be is refused.
#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <stdexcept>

#include "check.h"
#include "engine/beam_search.h"
#include "kernels/dispatch.h"

using namespace hat;

namespace {

// Those with separate embeddings are pre-norm.
Config config_of(Precision precision, bool shared) {
  return {precision, precision, 24, 21, 18, 24, 18, shared ? 300 : 40, 300, shared, !shared, {{37, 2}, {16, 3}, {5, 1}},
          {{29, 3, 4, 2}, {40, 1, 6, 3}}};
}

// Weights by name, equal for every instruction set. `words_tie`: all embeddings are zero.
std::shared_ptr<const Model> model_of(const Config& config, const Kernels& kernels, bool words_tie = false) {
  std::vector<std::byte> memory;
  const WeightSource source = [&](const std::string& name, Element element, size_t count) -> const void* {
    std::mt19937 generator(std::hash<std::string>()(name) & 0xffff);
    const bool scale = name.ends_with(".scale"), gain = name.ends_with("norm.weight");
    const size_t bytes = element == Element::float32 ? 4 : element == Element::bfloat16 ? 2 : 1;
    memory.resize(count * bytes);
    if (words_tie && name.find("embedding") != std::string::npos) {
      std::fill(memory.begin(), memory.end(), std::byte(0));
      return memory.data();
    }
    for (size_t i = 0; i < count; ++i) {
      if (element == Element::int8 || element == Element::code) {
        memory[i] = std::byte(element == Element::code ? generator() % 16 : uint8_t(int(generator() % 255) - 127));
        continue;
      }
      const float noise = std::normal_distribution<float>(0.0f, 0.25f)(generator);
      const float value = scale ? 0.004f : gain ? 1.0f + 0.3f * noise : noise;
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const uint16_t high = uint16_t(bits >> 16);
      std::memcpy(memory.data() + i * bytes, element == Element::float32 ? static_cast<const void*>(&bits) : &high, bytes);
    }
    return memory.data();
  };
  return std::make_shared<Model>(config, kernels, source);
}

const std::vector<Sentence> kSources = {{5, 9, 30, 2}, {2}, {7, 8, 9, 10, 11, 12, 13, 14, 15, 2}, {39, 2}};

// Beam search caches keys, values and ancestors; scoring goes over the finished target once more.
void check_found(const std::vector<std::vector<Hypothesis>>& found, Decoder& decoder, const Options& options) {
  CHECK(found.size() == kSources.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CHECK(static_cast<int>(found[i].size()) == options.nbest);
    for (size_t rank = 0; rank < found[i].size(); ++rank) {
      const Hypothesis& one = found[i][rank];
      const int most = int(options.max_length_factor * double(kSources[i].size())) + options.max_length_offset;
      CHECK(static_cast<int>(one.tokens.size()) >= options.min_length && static_cast<int>(one.tokens.size()) <= most);
      CHECK(one.tokens.back() == 2);
      CHECK(rank == 0 || one.score <= found[i][rank - 1].score);
      double total = 0;
      for (const float score : one.token_scores) total += double(score);
      CHECK_NEAR(one.score, total / std::pow(double(one.tokens.size()), options.length_penalty), 1e-4);
      const std::vector<float> again = decoder.score({kSources[i]}, {one.tokens})[0];
      CHECK(again.size() == one.tokens.size());
      for (size_t t = 0; t < again.size(); ++t) CHECK_NEAR(again[t], one.token_scores[t], 2e-4);
    }
  }
}

void for_each_model(const std::function<void(const Config&, const Kernels&)>& check) {
  for (const InstructionSet& set : instruction_sets()) {
    if (!set.built || !set.supported) continue;
    for (const Precision precision :
         {Precision::float32, Precision::bfloat16, Precision::int8, Precision::table})
      for (const bool shared : {false, true}) {
        if (precision == Precision::table && !set.kernels->looks_up) continue;
        context = std::string(set.name) + ", precision " + std::to_string(int(precision)) + (shared ? ", shared" : "");
        check(config_of(precision, shared), *set.kernels);
      }
  }
}

}  // namespace

TEST(a_search_agrees_with_a_second_pass) {
  for_each_model([](const Config& config, const Kernels& kernels) {
    const auto model = model_of(config, kernels);
    for (const int threads : {1, 3}) {
      Decoder decoder(model, threads);
      for (const int beam : {1, 2, 5, 9}) {
        const Options options{beam, std::min(beam, 3), 3, 6, 0.7, 1.5};
        check_found(decoder.translate(kSources, options), decoder, options);
      }
    }
  });
}

// Results must not depend on which thread does what, which differs from call to call.
TEST(threads_change_nothing) {
  const Options options{4, 4, 1, 12, 1.0, 1.0};
  for (const bool words_tie : {false, true}) {
    Config config = config_of(Precision::float32, true);
    config.source_vocab = config.target_vocab = 2100;
    const auto model = model_of(config, choose_kernels("auto"), words_tie);
    const auto expected = Decoder(model, 1).translate(kSources, options);
    for (const int threads : {2, 3, 5}) {
      Decoder decoder(model, threads);
      for (int turn = 0; turn < 20; ++turn) {
        const auto found = decoder.translate(kSources, options);
        for (size_t i = 0; i < expected.size(); ++i)
          for (size_t rank = 0; rank < expected[i].size(); ++rank) {
            CHECK(found[i][rank].tokens == expected[i][rank].tokens);
            CHECK(found[i][rank].token_scores == expected[i][rank].token_scores);
          }
      }
    }
  }
}

TEST(instruction_sets_agree) {
  std::map<std::string, std::vector<std::vector<float>>> first;
  for_each_model([&first](const Config& config, const Kernels& kernels) {
    Decoder decoder(model_of(config, kernels), 2);
    const std::vector<Sentence> targets = {{5, 6, 2}, {200, 299, 4, 5, 6, 7, 2}, {2}, {9, 2}};
    const auto found = decoder.score(kSources, targets);
    const auto& expected = first.emplace(context.substr(context.find(',')), found).first->second;
    // Activations are rounded to bfloat16 on some processors only.
    const double tolerance = config.precision == Precision::bfloat16 ? 0.05 : 1e-3;
    for (size_t i = 0; i < found.size(); ++i)
      for (size_t t = 0; t < found[i].size(); ++t) CHECK_NEAR(found[i][t], expected[i][t], tolerance);
  });
}

TEST(a_decoder_serves_calls_of_different_sizes) {
  Decoder decoder(model_of(config_of(Precision::int8, true), choose_kernels("auto")), 2);
  const Options small{1, 1, 1, 4, 1.0, 0.0}, large{6, 6, 1, 40, 1.0, 0.0};
  const auto expected = decoder.translate({kSources[0]}, small);
  const Sentence long_source(150, 7);
  decoder.translate({long_source, kSources[1], long_source}, large);
  CHECK(decoder.translate({kSources[0]}, small)[0][0].tokens == expected[0][0].tokens);
  CHECK(decoder.translate({}, small).empty());
}

TEST(what_cannot_be_is_refused) {
  const Config good = config_of(Precision::float32, true);
  Decoder decoder(model_of(good, choose_kernels("auto")), 1);
  CHECK_THROWS(std::invalid_argument, decoder.translate({{300, 2}}, Options{}));
  CHECK_THROWS(std::invalid_argument, decoder.translate({{-1, 2}}, Options{}));
  CHECK_THROWS(std::invalid_argument, decoder.translate({{}}, Options{}));
  CHECK_THROWS(std::invalid_argument, decoder.score({{5, 2}}, {{300}}));
  CHECK_THROWS(std::invalid_argument, decoder.translate(std::vector<Sentence>(5, {5, 2}), Options{.beam = 1 << 12}));
  CHECK_THROWS(std::invalid_argument, choose_kernels("abacus"));
  for (int Config::*member : {&Config::qkv_dim, &Config::encoder_dim, &Config::decoder_dim, &Config::target_vocab}) {
    for (const int value : {0, -1, 1 << 30}) {
      Config bad = good;
      bad.*member = value;
      CHECK_THROWS(std::invalid_argument, bad.check());
    }
  }
  Config bad = good;
  bad.decoder[0].attended = 4;
  CHECK_THROWS(std::invalid_argument, bad.check());
  bad = good;
  bad.embedding_precision = Precision::int8;
  CHECK_THROWS(std::invalid_argument, bad.check());
  bad = good;
  bad.encoder[1].heads = 5;
  CHECK_THROWS(std::invalid_argument, bad.check());
}

TEST(widths_whose_int8_sums_overflow_are_refused_in_int8_only) {
  for (const Precision precision : {Precision::float32, Precision::bfloat16, Precision::int8, Precision::table}) {
    const Config good = config_of(precision, true);
    const auto accepted = [&](const auto& widen) {
      Config config = good;
      widen(config);
      try {
        config.check();
      } catch (const std::invalid_argument&) {
        return false;
      }
      return true;
    };
    for (const int width : {kMostInt8Inputs, kMostInt8Inputs + 1}) {
      const bool fits = !in_int8(precision) || width <= kMostInt8Inputs;
      CHECK(accepted([&](Config& c) { c.encoder[1].ffn_dim = width; }) == fits);
      CHECK(accepted([&](Config& c) { c.decoder[0].ffn_dim = width; }) == fits);
      CHECK(accepted([&](Config& c) { c.encoder_dim = c.encoder_super_dim = width; }) == fits);
      CHECK(accepted([&](Config& c) { c.decoder_dim = c.decoder_super_dim = width; }) == fits);
      CHECK(accepted([&](Config& c) {
              c.qkv_dim = width;
              for (EncoderShape& layer : c.encoder) layer.heads = 1;
              for (DecoderShape& layer : c.decoder) layer.self_heads = layer.cross_heads = 1;
            }) == fits);
    }
  }
}
