// The Python face of the native engine: hat.runtime._native.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <unistd.h>

#include <cmath>
#include <stdexcept>

#include "engine/beam_search.h"
#include "kernels/dispatch.h"

namespace nb = nanobind;
using namespace hat;

namespace {

using Array = nb::ndarray<nb::c_contig, nb::device::cpu, nb::ro>;

Precision precision_of(const std::string& name) {
  if (name == "float32") return Precision::float32;
  if (name == "bfloat16") return Precision::bfloat16;
  if (name == "int8") return Precision::int8;
  if (name == "table") return Precision::table;
  throw std::invalid_argument("precision '" + name + "': the choices are float32, bfloat16, int8, table");
}

template <class T>
T get(const nb::dict& values, const char* name) {
  return nb::cast<T>(values[name]);
}

// From the keys of hat.architecture.ModelConfig and Architecture.to_dict.
Config config_of(const nb::dict& d) {
  Config config{precision_of(get<std::string>(d, "precision")),
                precision_of(get<std::string>(d, "embedding_precision")),
                get<int>(d, "qkv_dim"),
                get<int>(d, "encoder_dim"),
                get<int>(d, "decoder_dim"),
                get<int>(d, "encoder_super_dim"),
                get<int>(d, "decoder_super_dim"),
                get<int>(d, "source_vocab"),
                get<int>(d, "target_vocab"),
                get<bool>(d, "shared_embeddings"),
                get<bool>(d, "pre_norm"),
                {},
                {}};
  for (nb::handle layer : get<nb::list>(d, "encoder")) {
    const auto l = nb::cast<nb::dict>(layer);
    config.encoder.push_back({get<int>(l, "ffn_dim"), get<int>(l, "heads")});
  }
  for (nb::handle layer : get<nb::list>(d, "decoder")) {
    const auto l = nb::cast<nb::dict>(layer);
    config.decoder.push_back({get<int>(l, "ffn_dim"), get<int>(l, "self_heads"), get<int>(l, "cross_heads"),
                              get<int>(l, "encoder_layers_attended")});
  }
  return config;
}

bool is_of(const Array& array, Element element) {
  switch (element) {
    case Element::float32: return array.dtype() == nb::dtype<float>();
    case Element::bfloat16: return array.dtype() == nb::dtype<uint16_t>();
    case Element::int8: return array.dtype() == nb::dtype<int8_t>();
    case Element::code: return array.dtype() == nb::dtype<uint8_t>();
  }
  return false;
}

// A number that is not finite would make every translation nonsense, and some of them unboundedly slow.
void check_finite(const std::string& name, const void* data, Element element, size_t count) {
  bool finite = true;
  if (element == Element::float32)
    for (size_t i = 0; i < count; ++i) finite &= std::isfinite(static_cast<const float*>(data)[i]);
  if (element == Element::bfloat16)
    for (size_t i = 0; i < count; ++i) finite &= (static_cast<const uint16_t*>(data)[i] & 0x7f80) != 0x7f80;
  if (!finite) throw std::invalid_argument("tensor " + name + " holds a number that is not finite");
}

class Engine {
 public:
  // `weights`: a mapping from names to arrays, read one at a time. `processors`: the number of processors that
  // this process may use.
  Engine(const nb::dict& config, const nb::object& weights, int threads, int processors,
         const std::string& instruction_set)
      : kernels_(choose_kernels(instruction_set)) {
    if (threads < 1 || threads > 1024) throw std::invalid_argument("threads must be between 1 and 1024");
    Array held;  // keeps the tensor asked for last alive, or the copy of one that is not contiguous
    const WeightSource source = [&](const std::string& name, Element element, size_t count) -> const void* {
      held = nb::cast<Array>(weights[name.c_str()]);
      if (!is_of(held, element) || held.size() != count)
        throw std::invalid_argument("tensor " + name + " is not of the type or size that the model needs");
      check_finite(name, held.data(), element, count);
      return held.data();
    };
    model_ = std::make_shared<Model>(config_of(config), kernels_, source);
    decoder_ = std::make_unique<Decoder>(model_, threads, threads <= processors);
  }
  Engine(const Engine&) = delete;
  // Threads stay in the parent when a process forks: the child can neither join them nor wait for their locks.
  ~Engine() {
    if (process_ != getpid()) static_cast<void>(decoder_.release());
  }

  nb::list translate(const std::vector<Sentence>& sources, int beam, double length_penalty, int nbest, int min_length,
                     double max_length_factor, int max_length_offset) {
    const Options options{beam, nbest, min_length, max_length_offset, length_penalty, max_length_factor};
    std::vector<std::vector<Hypothesis>> found;
    {
      const nb::gil_scoped_release release;
      found = decoder_->translate(sources, options);
    }
    nb::list result;
    for (const std::vector<Hypothesis>& hypotheses : found) {
      nb::list ranked;
      for (const Hypothesis& one : hypotheses)
        ranked.append(nb::make_tuple(nb::tuple(nb::cast(one.tokens)), one.score, nb::tuple(nb::cast(one.token_scores))));
      result.append(ranked);
    }
    return result;
  }

  std::vector<std::vector<float>> score(const std::vector<Sentence>& sources, const std::vector<Sentence>& targets) {
    const nb::gil_scoped_release release;
    return decoder_->score(sources, targets);
  }

  std::string instruction_set() const { return kernels_.name; }
  size_t packed_bytes() const { return model_->packed_bytes; }
  // Waits for another thread's translation without Python's lock, which that thread needs to go on.
  size_t workspace_bytes() const {
    const nb::gil_scoped_release release;
    return decoder_->workspace_bytes();
  }

 private:
  const Kernels& kernels_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Decoder> decoder_;
  const pid_t process_ = getpid();
};

nb::list describe() {
  nb::list sets;
  for (const InstructionSet& set : instruction_sets()) {
    nb::dict entry;
    entry["name"] = set.name;
    entry["built"] = set.built;
    entry["supported"] = set.supported;
    entry["tables"] = set.built && set.kernels->looks_up;
    sets.append(entry);
  }
  return sets;
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The native engine: packed weights, kernels per instruction set, beam search.";
  nb::set_leak_warnings(false);  // an engine held by a daemon thread lives as long as the process
  m.def("instruction_sets", &describe, "All of this architecture, best first: name, built, supported.");
  m.def("choose", [](const std::string& name) { return std::string(choose_kernels(name).name); },
        "The instruction set that `name` (or \"auto\") stands for. Raises ValueError naming the choices.");
  nb::class_<Engine>(m, "Engine")
      .def(nb::init<const nb::dict&, const nb::object&, int, int, const std::string&>(), nb::arg("config"),
           nb::arg("weights"), nb::arg("threads"), nb::arg("processors"), nb::arg("instruction_set"))
      .def("translate", &Engine::translate, nb::arg("sources"), nb::arg("beam"), nb::arg("length_penalty"),
           nb::arg("nbest"), nb::arg("min_length"), nb::arg("max_length_factor"), nb::arg("max_length_offset"))
      .def("score", &Engine::score, nb::arg("sources"), nb::arg("targets"))
      .def_prop_ro("instruction_set", &Engine::instruction_set)
      .def_prop_ro("packed_bytes", &Engine::packed_bytes)
      .def_prop_ro("workspace_bytes", &Engine::workspace_bytes);
}
