#include "engine/team.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>

namespace hat {
namespace {

// Some 50 µs: members of a running call seldom sleep, and an idle engine soon does.
constexpr int kSpins = 2000;

struct Range {
  int begin, end;
};

uint64_t packed(int begin, int end) { return static_cast<uint64_t>(begin) << 32 | static_cast<uint32_t>(end); }

Range unpacked(uint64_t range) { return {static_cast<int>(range >> 32), static_cast<int>(range & 0xffffffff)}; }

bool is_empty(const std::atomic<uint64_t>& range) {
  const Range left = unpacked(range.load(std::memory_order_acquire));
  return left.begin >= left.end;
}

// Takes half of the remaining range, but `least` at least: the owner from the front, in the order of the weights
// in memory, others from the end. An empty range means that nothing was left.
Range take(std::atomic<uint64_t>& range, int least, bool own) {
  uint64_t value = range.load(std::memory_order_relaxed);
  for (;;) {
    const auto [begin, end] = unpacked(value);
    if (begin >= end) return {0, 0};
    const int half = std::min(std::max((end - begin + 1) / 2, least), end - begin);
    const Range piece = own ? Range{begin, begin + half} : Range{end - half, end};
    const uint64_t rest = own ? packed(piece.end, end) : packed(begin, piece.begin);
    if (range.compare_exchange_weak(value, rest, std::memory_order_acquire, std::memory_order_relaxed)) return piece;
  }
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Team::Team(int threads, bool spin)
    : members_(threads), spins_(spin ? kSpins : 0), process_(getpid()), parts_(new Part[threads]) {
  workers_.reserve(threads - 1);
  try {
    for (int member = 1; member < threads; ++member) workers_.emplace_back([this, member] { serve(member); });
  } catch (const std::exception&) {  // std::system_error or std::bad_alloc
    stop();
    throw std::runtime_error("the system lets this process start " + std::to_string(workers_.size() + 1) + " of " +
                             std::to_string(threads) +
                             " threads; use fewer, or allow it more memory or processes (ulimit -u, a container's "
                             "pids limit)");
  }
}

Team::~Team() {
  if (process_ == getpid())
    stop();
  else  // a forked process: the threads are the parent's
    for (std::thread& worker : workers_) worker.detach();
}

void Team::stop() {
  calls_.store(-1, std::memory_order_release);
  calls_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::check_process() const {
  if (members_ > 1 && process_ != getpid())
    throw std::runtime_error("the engine was loaded before this process forked; load it in the new process");
}

void Team::share(int count, int least, const void* work, Call call) {
  unfinished_.store(count, std::memory_order_relaxed);
  const int parts = std::min(members_, (count + least - 1) / least);
  for (int member = parts - 1; member >= 0; --member) {
    Part& part = parts_[member];
    part.call = call;
    part.work = work;
    part.least.store(least, std::memory_order_relaxed);
    part.range.store(packed(static_cast<int>(int64_t{count} * member / parts),
                            static_cast<int>(int64_t{count} * (member + 1) / parts)),
                     std::memory_order_release);
  }
  calls_.store((calls_.load(std::memory_order_relaxed) + 1) & 0x3fffffff, std::memory_order_release);
  calls_.notify_all();
  work_through(0);
  for (int spin = 0; spin < spins_ && unfinished_.load(std::memory_order_acquire); ++spin) pause();
  while (const int left = unfinished_.load(std::memory_order_acquire)) unfinished_.wait(left);
}

// Works through the member's own part, then through what the others have not begun.
void Team::work_through(int member) {
  int done = 0;
  for (int i = 0; i < members_; ++i) {
    Part& part = parts_[(member + i) % members_];
    for (;;) {
      const Range piece = take(part.range, part.least.load(std::memory_order_relaxed), i == 0);
      if (piece.begin == piece.end) break;
      part.call(part.work, member, piece.begin, piece.end);
      done += piece.end - piece.begin;
    }
  }
  if (done && unfinished_.fetch_sub(done, std::memory_order_acq_rel) == done) unfinished_.notify_one();
}

void Team::serve(int member) {
  const std::atomic<uint64_t>& own = parts_[member].range;
  for (;;) {
    for (int spin = 0; spin < spins_ && is_empty(own); ++spin) pause();
    const int call = calls_.load(std::memory_order_acquire);
    if (call < 0) return;
    if (is_empty(own))
      calls_.wait(call, std::memory_order_acquire);
    else
      work_through(member);
  }
}

}  // namespace hat
