// Memory that grows when a call needs more and is then kept, so that steps allocate nothing.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace hat {

constexpr size_t kCacheLine = 64;

constexpr size_t round_up(size_t count, size_t step) { return (count + step - 1) / step * step; }

// An aligned array, whose content is lost when it grows.
template <class T>
class Buffer {
 public:
  // Makes room for `count` elements. Throws std::bad_alloc.
  void grow(size_t count, size_t alignment = kCacheLine) {
    if (count <= size_) return;
    data_.reset();
    size_ = 0;
    data_.reset(static_cast<T*>(std::aligned_alloc(alignment, round_up(count * sizeof(T), alignment))));
    if (!data_) throw std::bad_alloc();
    size_ = count;
  }
  T* get() const { return data_.get(); }
  T* operator+(size_t offset) const { return data_.get() + offset; }
  size_t bytes() const { return size_ * sizeof(T); }

 private:
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

// Keys and values of self-attention: for each pass so many floats for each position and slot. Allocated for a stretch
// of positions at a time, since the longest hypothesis is seldom as long as it may become.
class KeyValueCache {
 public:
  // `widths`: floats of each pass.
  void start(const std::vector<size_t>& widths, int slots) {
    passes_.clear();
    size_t size = 0;
    for (const size_t width : widths) {
      passes_.push_back({size, width});
      size += kStretch * slots * width;
    }
    if (size > stretch_floats_) stretches_.clear();
    stretch_floats_ = std::max(stretch_floats_, size);
    slots_ = slots;
  }
  // Makes room for `position`.
  void extend(int position) {
    while (static_cast<int>(stretches_.size()) * kStretch <= position) {
      Buffer<float> stretch;
      stretch.grow(stretch_floats_);
      stretches_.push_back(std::move(stretch));
    }
  }
  float* at(int pass, int position, int slot) const {
    const size_t row = static_cast<size_t>(position % kStretch) * slots_ + slot;
    return stretches_[position / kStretch] + passes_[pass].first + row * passes_[pass].width;
  }
  size_t bytes() const { return stretches_.size() * stretch_floats_ * sizeof(float); }

 private:
  struct Pass {
    size_t first, width;  // the place of its floats in a stretch, and how many a row has
  };
  static constexpr int kStretch = 16;  // positions
  std::vector<Buffer<float>> stretches_;
  std::vector<Pass> passes_;
  size_t stretch_floats_ = 0;
  int slots_ = 0;
};

// The table of sinusoidal positions: half of a row sines, half cosines, at the SuperTransformer's width, cut to the
// SubTransformer's (docs/reference.md, Positions).
class Positions {
 public:
  Positions(int super_dim, int dim) : half_(super_dim / 2), dim_(dim) {}
  void extend(int rows) {
    for (; rows_ < rows; ++rows_)
      for (int i = 0; i < dim_; ++i) table_.push_back(entry(i));
  }
  const float* row(int position) const { return table_.data() + static_cast<size_t>(position) * dim_; }

 private:
  float entry(int i) const {
    if (i >= 2 * half_) return 0.0f;
    const double frequency = std::exp(i % half_ * (-std::log(10000.0) / std::max(half_ - 1, 1)));
    const double angle = rows_ * frequency;
    return static_cast<float>(i < half_ ? std::sin(angle) : std::cos(angle));
  }
  const int half_, dim_;
  int rows_ = 0;
  std::vector<float> table_;
};

}  // namespace hat
