// The Python module hat.training._kernels.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>

#include "engine/team.h"
#include "kernels/dispatch.h"

namespace nb = nanobind;
using namespace hat;

namespace {

using Array = nb::ndarray<nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

constexpr nb::dlpack::dtype kBfloat16 = {static_cast<uint8_t>(nb::dlpack::dtype_code::Bfloat), 16, 1};
constexpr size_t kMostAxes = 3;
constexpr size_t kUnit = 1 << 14;  // weights that a thread takes at a time; the unit of sums of squares

Precision precision_of(const Array& array) {
  if (array.dtype() == nb::dtype<float>()) return Precision::float32;
  if (array.dtype() == kBfloat16) return Precision::bfloat16;
  throw std::invalid_argument("a gradient is neither float32 nor bfloat16");
}

// A weight of up to three axes as planes of rows.
struct Shape {
  size_t planes = 1, rows = 1, columns = 1;

  explicit Shape(const Array& array) {
    if (array.ndim() < 1 || array.ndim() > kMostAxes) throw std::invalid_argument("a weight has one to three axes");
    size_t* sizes[kMostAxes] = {&planes, &rows, &columns};
    for (size_t axis = 0; axis < array.ndim(); ++axis)
      *sizes[kMostAxes - array.ndim() + axis] = array.shape(axis);
  }
};

struct Weight {
  Floats weights, mean, square;
  std::optional<Array> copy;
  Shape shape;
};

class PythonAdamW {
 public:
  PythonAdamW(double beta1, double beta2) : beta1_(beta1), beta2_(beta2) {}

  size_t add(const Floats& weights, const Floats& mean, const Floats& square, const std::optional<Array>& copy) {
    const bool fits = mean.size() == weights.size() && square.size() == weights.size() &&
                      (!copy || (copy->size() == weights.size() && copy->dtype() == kBfloat16));
    if (!fits) throw std::invalid_argument("moments or copy do not have the weight's size");
    weights_.push_back({weights, mean, square, copy, Shape(Array(weights))});
    return weights_.size() - 1;
  }

  double norm(const std::vector<Array>& gradients, int threads) {
    struct Unit {
      const std::byte* data;
      Precision precision;
      size_t size;
      double sum;
    };
    std::vector<Unit> units;
    for (const Array& gradient : gradients) {
      const Precision precision = precision_of(gradient);
      const auto* data = static_cast<const std::byte*>(gradient.data());
      const size_t width = precision == Precision::bfloat16 ? 2 : 4;
      for (size_t i = 0; i < gradient.size(); i += kUnit)
        units.push_back({data + width * i, precision, std::min(kUnit, gradient.size() - i), 0});
    }
    const nb::gil_scoped_release release;
    team(threads).parallel_for(static_cast<int>(units.size()), 1, [&](int, int begin, int end) {
      for (int i = begin; i < end; ++i)
        units[i].sum = kernels_.square_sum(units[i].precision, units[i].data, units[i].size);
    });
    double total = 0;  // in the order of the gradients, whoever computed the parts
    for (const Unit& unit : units) total += unit.sum;
    return std::sqrt(total);
  }

  void step(const std::vector<size_t>& indices, const std::vector<Array>& gradients, const std::vector<double>& steps,
            double divisor, double learning_rate, double epsilon, double weight_decay, int threads) {
    if (gradients.size() != indices.size() || steps.size() != indices.size())
      throw std::invalid_argument("each weight needs one gradient and one number of steps");
    struct Unit {
      size_t number, begin, end;  // rows of a weight, counted through all planes
    };
    std::vector<Unit> units;
    std::vector<AdamWStep> by;
    std::vector<Shape> corners;
    for (size_t i = 0; i < indices.size(); ++i) {
      const Shape whole = weights_.at(indices[i]).shape, corner(gradients[i]);
      precision_of(gradients[i]);
      if (corner.planes > whole.planes || corner.rows > whole.rows || corner.columns > whole.columns)
        throw std::invalid_argument("a gradient is larger than its weight");
      corners.push_back(corner);
      by.push_back({static_cast<float>(1 / divisor), static_cast<float>(1 - beta1_), static_cast<float>(beta2_),
                    static_cast<float>(1 - beta2_), static_cast<float>(1 - learning_rate * weight_decay),
                    static_cast<float>(learning_rate / (1 - std::pow(beta1_, steps[i]))),
                    static_cast<float>(1 / std::sqrt(1 - std::pow(beta2_, steps[i]))), static_cast<float>(epsilon)});
      const size_t rows = whole.planes * whole.rows, some = std::max<size_t>(1, kUnit / whole.columns);
      for (size_t row = 0; row < rows; row += some) units.push_back({i, row, std::min(rows, row + some)});
    }
    const nb::gil_scoped_release release;
    team(threads).parallel_for(static_cast<int>(units.size()), 1, [&](int, int begin, int end) {
      for (int i = begin; i < end; ++i) {
        const auto [number, first, last] = units[i];
        for (size_t row = first; row < last; ++row)
          step_row(weights_[indices[number]], row, gradients[number], corners[number], by[number]);
      }
    });
  }

 private:
  void step_row(const Weight& weight, size_t row, const Array& gradient, const Shape& corner, const AdamWStep& by) const {
    const size_t columns = weight.shape.columns, at = row * columns;
    const size_t plane = row / weight.shape.rows, within = row % weight.shape.rows;
    const bool touched = plane < corner.planes && within < corner.rows;
    const Precision precision = precision_of(gradient);
    const size_t place = (plane * corner.rows + within) * corner.columns * (precision == Precision::bfloat16 ? 2 : 4);
    kernels_.adamw({weight.weights.data() + at, weight.mean.data() + at, weight.square.data() + at,
                    weight.copy ? static_cast<uint16_t*>(weight.copy->data()) + at : nullptr, precision,
                    touched ? static_cast<const std::byte*>(gradient.data()) + place : nullptr, corner.columns},
                   columns, by);
  }

  // Threads that wait for work sleep: a moment of waiting actively would be taken from the products that follow.
  Team& team(int threads) {
    if (threads < 1 || threads > 1024) throw std::invalid_argument("threads must be between 1 and 1024");
    if (!team_ || team_->size() != threads) team_ = std::make_unique<Team>(threads, false);
    return *team_;
  }

  const Kernels& kernels_ = choose_kernels("auto");
  const double beta1_, beta2_;
  std::vector<Weight> weights_;
  std::unique_ptr<Team> team_;
};

}  // namespace

NB_MODULE(_kernels, m) {
  m.doc() = "AdamW in one pass over the weights, on several threads.";
  nb::class_<PythonAdamW>(m, "AdamW")
      .def(nb::init<double, double>(), nb::arg("beta1"), nb::arg("beta2"))
      .def("add", &PythonAdamW::add, nb::arg("weights").noconvert(), nb::arg("mean").noconvert(),
           nb::arg("square").noconvert(), nb::arg("copy").noconvert().none(),
           "Adds a float32 weight with its moments and, or None, its bfloat16 copy, all of which steps write in "
           "place. Returns its index.")
      .def("norm", &PythonAdamW::norm, nb::arg("gradients").noconvert(), nb::arg("threads"),
           "The norm of all gradients together; the same bits on any number of threads.")
      .def("step", &PythonAdamW::step, nb::arg("indices"), nb::arg("gradients").noconvert(), nb::arg("steps"),
           nb::arg("divisor"), nb::arg("learning_rate"), nb::arg("epsilon"), nb::arg("weight_decay"),
           nb::arg("threads"),
           "One step of the weights `indices`. Gradients, float32 or bfloat16, are of the weights' leading corners; "
           "they are divided by `divisor`. `steps`: of each weight, this one included.");
}
