// The Python module hat.runtime._native.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <unistd.h>

#include <cmath>
#include <stdexcept>

#include "engine/engine.h"
#include "engine/profile.h"
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

template <class T = int>
T get(nb::handle values, const char* name) {
  return nb::cast<T>(values[name]);
}

AttentionShape attention_of(nb::handle layer, const char* heads, const char* qkv_dim) {
  return {get(layer, heads), get(layer, qkv_dim)};
}

// From the dict that hat.runtime.engines.native makes of a hat.architecture.ModelConfig.
ModelConfig config_of(const nb::dict& d) {
  ModelConfig config{
      precision_of(get<std::string>(d, "precision")), precision_of(get<std::string>(d, "embedding_precision")),
      get(d, "encoder_dim"), get(d, "decoder_dim"), get(d, "encoder_super_dim"), get(d, "decoder_super_dim"),
      get(d, "source_vocab"), get(d, "target_vocab"), get<bool>(d, "shared_embeddings"), get<bool>(d, "pre_norm"),
      {}, {}, get(d, "embedding_rank")};
  for (nb::handle layer : get<nb::list>(d, "encoder"))
    config.encoder.push_back({get(layer, "ffn_dim"), attention_of(layer, "heads", "qkv_dim"), get(layer, "passes")});
  for (nb::handle layer : get<nb::list>(d, "decoder"))
    config.decoder.push_back({get(layer, "ffn_dim"), attention_of(layer, "self_heads", "self_qkv_dim"),
                              attention_of(layer, "cross_heads", "cross_qkv_dim"),
                              get(layer, "encoder_layers_attended"), get(layer, "passes")});
  return config;
}

bool holds(const Array& array, Precision elements) {
  // In the order of Precision.
  const nb::dlpack::dtype types[] = {nb::dtype<float>(), nb::dtype<uint16_t>(), nb::dtype<int8_t>(),
                                     nb::dtype<uint8_t>()};
  return array.dtype() == types[static_cast<int>(elements)];
}

// A number that is not finite would make every translation nonsense, and some of them unboundedly slow.
void check_finite(const std::string& name, const void* data, Precision elements, size_t count) {
  bool finite = true;
  if (elements == Precision::float32)
    for (size_t i = 0; i < count; ++i) finite &= std::isfinite(static_cast<const float*>(data)[i]);
  if (elements == Precision::bfloat16)
    for (size_t i = 0; i < count; ++i) finite &= (static_cast<const uint16_t*>(data)[i] & 0x7f80) != 0x7f80;
  if (!finite) throw std::invalid_argument("tensor " + name + " holds a number that is not finite");
}

class PythonEngine {
 public:
  // `weights`: a mapping from names to arrays, read one at a time. `processors`: how many this process may use.
  PythonEngine(const nb::dict& config, const nb::object& weights, int threads, int processors,
               const std::string& instruction_set)
      : kernels_(choose_kernels(instruction_set)) {
    if (threads < 1 || threads > 1024) throw std::invalid_argument("threads must be between 1 and 1024");
    Array held;  // the last tensor, or the copy of one that is not contiguous, stays alive until the next
    const WeightSource source = [&](const std::string& name, Precision elements, size_t count) -> const void* {
      held = nb::cast<Array>(weights[name.c_str()]);
      if (!holds(held, elements) || held.size() != count)
        throw std::invalid_argument("tensor " + name + " is not of the type or size that the model needs");
      check_finite(name, held.data(), elements, count);
      return held.data();
    };
    model_ = std::make_shared<Model>(config_of(config), kernels_, source);
    engine_ = std::make_unique<Engine>(model_, threads, threads <= processors);
  }
  PythonEngine(const PythonEngine&) = delete;
  // Threads stay in the parent when a process forks: the child can neither join them nor wait for their locks.
  ~PythonEngine() {
    if (process_ != getpid()) static_cast<void>(engine_.release());
  }

  // `options`: the fields of hat.runtime.DecodeOptions.
  nb::list translate(const std::vector<Sentence>& sources, const nb::dict& o) {
    const DecodeOptions options{get(o, "beam"), get(o, "nbest"), get(o, "min_length"), get(o, "max_length_offset"),
                                get<double>(o, "length_penalty"), get<double>(o, "max_length_factor")};
    std::vector<std::vector<Hypothesis>> translations;
    {
      const nb::gil_scoped_release release;
      translations = engine_->translate(sources, options);
    }
    nb::list result;
    for (const std::vector<Hypothesis>& hypotheses : translations) {
      nb::list ranked;
      for (const Hypothesis& h : hypotheses)
        ranked.append(nb::make_tuple(nb::tuple(nb::cast(h.tokens)), h.score, nb::tuple(nb::cast(h.token_scores))));
      result.append(ranked);
    }
    return result;
  }

  std::vector<std::vector<float>> score(const std::vector<Sentence>& sources, const std::vector<Sentence>& targets) {
    const nb::gil_scoped_release release;
    return engine_->score(sources, targets);
  }

  std::string instruction_set() const { return kernels_.name; }
  size_t packed_bytes() const { return model_->packed_bytes; }
  // Waits for another thread's translation without Python's lock, which that thread needs to go on.
  size_t workspace_bytes() const {
    const nb::gil_scoped_release release;
    return engine_->workspace_bytes();
  }

 private:
  const Kernels& kernels_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
  const pid_t process_ = getpid();
};

nb::list describe() {
  nb::list sets;
  for (const InstructionSet& set : instruction_sets()) {
    nb::dict entry;
    entry["name"] = set.name;
    entry["built"] = set.kernels != nullptr;
    entry["supported"] = set.supported;
    entry["tables"] = set.kernels && set.kernels->has_tables;
    sets.append(entry);
  }
  return sets;
}

#ifdef HAT_PROFILE
nb::dict take_profile() {
  nb::dict seconds;
  for (int part = 0; part < kParts; ++part) seconds[kPartNames[part]] = profile.seconds[part];
  profile.seconds.fill(0);
  return seconds;
}
#endif

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The native engine: packed weights, kernels per instruction set, beam search.";
  nb::set_leak_warnings(false);  // an engine held by a daemon thread lives as long as the process
  m.def("instruction_sets", &describe,
        "All instruction sets of this processor's architecture, best first: name, built, supported, tables.");
  m.def("choose", [](const std::string& name) { return std::string(choose_kernels(name).name); },
        "The instruction set that `name` (or \"auto\") stands for. Raises ValueError, which lists the choices.");
#ifdef HAT_PROFILE
  m.def("take_profile", &take_profile, "Seconds of this thread by part of the model, since the last call.");
#endif
  nb::class_<PythonEngine>(m, "Engine")
      .def(nb::init<const nb::dict&, const nb::object&, int, int, const std::string&>(), nb::arg("config"),
           nb::arg("weights"), nb::arg("threads"), nb::arg("processors"), nb::arg("instruction_set"))
      .def("translate", &PythonEngine::translate, nb::arg("sources"), nb::arg("options"))
      .def("score", &PythonEngine::score, nb::arg("sources"), nb::arg("targets"))
      .def_prop_ro("instruction_set", &PythonEngine::instruction_set)
      .def_prop_ro("packed_bytes", &PythonEngine::packed_bytes)
      .def_prop_ro("workspace_bytes", &PythonEngine::workspace_bytes);
}
