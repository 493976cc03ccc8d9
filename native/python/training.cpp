// The Python module hat.model._kernels.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <unistd.h>

#include <cmath>
#include <cstring>
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

using Integers = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

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

// Asking the processor what it can do takes microseconds, more in a virtual machine.
const Kernels& best_kernels() {
  static const Kernels& kernels = choose_kernels("auto");
  return kernels;
}

// The threads of trainings on this thread, `threads` of them. While they wait they sleep: a moment of waiting actively
// would be taken from the products that follow.
Team& team(int threads) {
  if (threads < 1 || threads > 1024) throw std::invalid_argument("threads must be between 1 and 1024");
  thread_local std::unique_ptr<Team> team;
  thread_local pid_t process = getpid();
  if (process != getpid()) static_cast<void>(team.release());  // forked: its threads are the parent's
  process = getpid();
  if (!team || team->size() != threads) team = std::make_unique<Team>(threads, false);
  return *team;
}

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

  const Kernels& kernels_ = best_kernels();
  const double beta1_, beta2_;
  std::vector<Weight> weights_;
};

double smoothed_loss(const Array& logits, const Integers& target, double smoothing, int64_t pad,
                     const std::optional<Array>& gradient, int threads) {
  if (logits.ndim() != 2 || logits.dtype() != kBfloat16 || (gradient && gradient->dtype() != kBfloat16))
    throw std::invalid_argument("logits and their gradient are rows of bfloat16");
  const size_t rows = logits.shape(0), vocabulary = logits.shape(1);
  if (target.size() != rows || (gradient && gradient->size() != logits.size()))
    throw std::invalid_argument("each row of logits needs one target and one row of the gradient");
  if (vocabulary < kBlock || vocabulary > size_t{1} << 30) throw std::invalid_argument("a vocabulary of that size");
  for (size_t row = 0; row < rows; ++row)
    if (target.data()[row] < 0 || target.data()[row] >= int64_t(vocabulary))
      throw std::invalid_argument("a target is outside the vocabulary");
  const nb::gil_scoped_release release;
  const Kernels& kernels = best_kernels();
  std::vector<float> losses(rows);
  std::vector<std::vector<float>> scratch(threads, std::vector<float>(vocabulary));
  team(threads).parallel_for(static_cast<int>(rows), 1, [&](int member, int begin, int end) {
    for (int row = begin; row < end; ++row) {
      const int64_t word = target.data()[row];
      uint16_t* slope = gradient ? static_cast<uint16_t*>(gradient->data()) + row * vocabulary : nullptr;
      if (word == pad && slope) std::memset(slope, 0, 2 * vocabulary);
      if (word == pad) continue;
      losses[row] = kernels.smoothed_loss(static_cast<const uint16_t*>(logits.data()) + row * vocabulary,
                                          static_cast<int>(vocabulary), static_cast<int>(word),
                                          static_cast<float>(smoothing), scratch[member].data(), slope);
    }
  });
  double total = 0;
  for (const float loss : losses) total += loss;
  return total;
}

// Tensors (B, H, L, D) in bfloat16 of any strides but the last.
using Heads = nb::ndarray<nb::ndim<4>, nb::device::cpu>;

HeadRows rows_of(const Heads& array, size_t sentence, size_t head) {
  return {static_cast<uint16_t*>(array.data()) + sentence * array.stride(0) + head * array.stride(1),
          static_cast<size_t>(array.stride(2))};
}

// A mask (B or 1, 1, T or 1, S) of bytes.
using Mask = nb::ndarray<const bool, nb::ndim<4>, nb::device::cpu>;

struct Attention {
  const Heads &q, &k, &v;
  const std::optional<Mask>& mask;
  const HeadShape shape;

  Attention(const Heads& q, const Heads& k, const Heads& v, const std::optional<Mask>& mask)
      : q(q), k(k), v(v), mask(mask),
        shape{static_cast<int>(q.shape(2)), static_cast<int>(k.shape(2)), static_cast<int>(q.shape(3)),
              static_cast<float>(1 / std::sqrt(double(q.shape(3))))} {
    for (const Heads* one : {&q, &k, &v}) check(*one, one == &q ? q : k);
    if (mask)
      for (size_t axis : {0, 1, 2, 3}) {
        const size_t sizes[] = {q.shape(0), 1, q.shape(2), k.shape(2)};
        if (mask->shape(axis) != sizes[axis] && (mask->shape(axis) != 1 || axis == 3))
          throw std::invalid_argument("a mask of another shape");
        if (axis == 3 && mask->stride(3) != 1) throw std::invalid_argument("a mask's rows are not contiguous");
      }
  }

  void check(const Heads& one, const Heads& like) const {
    if (one.dtype() != kBfloat16 || one.stride(3) != 1 || one.shape(0) != q.shape(0) || one.shape(1) != q.shape(1) ||
        one.shape(2) != like.shape(2) || one.shape(3) != q.shape(3))
      throw std::invalid_argument("heads are not rows of bfloat16 of one shape");
  }

  HeadMask mask_of(size_t sentence) const {
    if (!mask) return {nullptr, 0};
    const size_t step = mask->shape(0) == 1 ? 0 : mask->stride(0);
    return {reinterpret_cast<const uint8_t*>(mask->data()) + sentence * step,
            mask->shape(2) == 1 ? 0 : static_cast<size_t>(mask->stride(2))};
  }

  template <class Work>
  void for_each_head(int threads, const Work& work) const {
    const nb::gil_scoped_release release;
    Team& members = team(threads);
    std::vector<std::vector<float>> scratch(threads, std::vector<float>(head_scratch(shape)));
    const size_t heads = q.shape(1);
    members.parallel_for(static_cast<int>(q.shape(0)), 1, [&](int member, int begin, int end) {
      for (size_t sentence = begin; sentence < size_t(end); ++sentence)
        for (size_t head = 0; head < heads; ++head) work(sentence, head, scratch[member].data());
    });
  }
};

void attention(const Heads& q, const Heads& k, const Heads& v, const std::optional<Mask>& mask, const Heads& out,
               int threads) {
  const Attention all(q, k, v, mask);
  all.check(out, q);
  const Kernels& kernels = best_kernels();
  all.for_each_head(threads, [&](size_t i, size_t head, float* scratch) {
    kernels.attention(all.shape, rows_of(q, i, head), rows_of(k, i, head), rows_of(v, i, head), all.mask_of(i), scratch,
                      rows_of(out, i, head));
  });
}

void attention_gradients(const Heads& q, const Heads& k, const Heads& v, const std::optional<Mask>& mask,
                         const Heads& slope, const Heads& dq, const Heads& dk, const Heads& dv, int threads) {
  const Attention all(q, k, v, mask);
  for (const Heads* one : {&slope, &dq}) all.check(*one, q);
  for (const Heads* one : {&dk, &dv}) all.check(*one, k);
  const Kernels& kernels = best_kernels();
  all.for_each_head(threads, [&](size_t i, size_t head, float* scratch) {
    kernels.attention_gradients(all.shape, rows_of(q, i, head), rows_of(k, i, head), rows_of(v, i, head),
                                all.mask_of(i), rows_of(slope, i, head), scratch, rows_of(dq, i, head),
                                rows_of(dk, i, head), rows_of(dv, i, head));
  });
}

}  // namespace

NB_MODULE(_kernels, m) {
  m.doc() = "Parts of training in one pass over memory each, on several threads: steps of AdamW, the loss, attention.";
  m.def("smoothed_loss", &smoothed_loss, nb::arg("logits").noconvert(), nb::arg("target").noconvert(),
        nb::arg("smoothing"), nb::arg("pad"), nb::arg("gradient").noconvert().none(), nb::arg("threads"),
        "The label-smoothed loss of bfloat16 logits (N, V) at target (N), summed over the rows whose target is not "
        "`pad`. `gradient`, or None, gets its gradient.");
  m.def("attention", &attention, nb::arg("q").noconvert(), nb::arg("k").noconvert(), nb::arg("v").noconvert(),
        nb::arg("mask").noconvert().none(), nb::arg("out").noconvert(), nb::arg("threads"),
        "Attention of q (B, H, T, D) to k and v (B, H, S, D) in bfloat16, whose last axis is contiguous, into `out`. "
        "`mask`: None or booleans (B or 1, 1, T or 1, S), true for keys that are seen.");
  m.def("attention_gradients", &attention_gradients, nb::arg("q").noconvert(), nb::arg("k").noconvert(),
        nb::arg("v").noconvert(), nb::arg("mask").noconvert().none(), nb::arg("slope").noconvert(),
        nb::arg("dq").noconvert(), nb::arg("dk").noconvert(), nb::arg("dv").noconvert(), nb::arg("threads"),
        "The gradients dq, dk, dv of `attention` from `slope`, that of its outputs (B, H, T, D).");
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
