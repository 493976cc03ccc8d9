#include "engine/team.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>

namespace hat {
namespace {

// About 50 µs: during a translation members seldom sleep, and in an idle engine they soon do.
constexpr int kSpins = 2000;

uint64_t packed(int begin, int end) { return static_cast<uint64_t>(begin) << 32 | static_cast<uint32_t>(end); }

Range unpacked(uint64_t range) { return {static_cast<int>(range >> 32), static_cast<int>(range & 0xffffffff)}; }

bool is_empty(const std::atomic<uint64_t>& range) {
  const Range left = unpacked(range.load(std::memory_order_acquire));
  return left.begin >= left.end;
}

// Takes half of a range, but at least `grain`: the owner from the front, in the order of the weights in memory, others
// from the end. Returns an empty range where nothing was left.
Range take_piece(std::atomic<uint64_t>& range, int grain, bool is_owner) {
  uint64_t value = range.load(std::memory_order_relaxed);
  for (;;) {
    const auto [begin, end] = unpacked(value);
    if (begin >= end) return {0, 0};
    const int half = std::min(std::max((end - begin + 1) / 2, grain), end - begin);
    const Range piece = is_owner ? Range{begin, begin + half} : Range{end - half, end};
    const uint64_t rest = is_owner ? packed(piece.end, end) : packed(begin, piece.begin);
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
    : members_(threads), spins_(spin ? kSpins : 0), process_(getpid()), queues_(new Queue[threads]) {
  workers_.reserve(threads - 1);
  try {
    for (int member = 1; member < threads; ++member) workers_.emplace_back([this, member] { worker_loop(member); });
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
  loops_.store(-1, std::memory_order_release);
  loops_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::check_process() const {
  if (members_ > 1 && process_ != getpid())
    throw std::runtime_error("the engine was loaded before this process forked; load it in the new process");
}

void Team::parallel_for(int count, int grain, const void* work, Call call) {
  unfinished_.store(count, std::memory_order_relaxed);
  const int ranges = std::min(members_, (count + grain - 1) / grain);
  for (int member = ranges - 1; member >= 0; --member) {
    Queue& queue = queues_[member];
    queue.call = call;
    queue.work = work;
    queue.grain.store(grain, std::memory_order_relaxed);
    queue.range.store(packed(static_cast<int>(int64_t{count} * member / ranges),
                             static_cast<int>(int64_t{count} * (member + 1) / ranges)),
                      std::memory_order_release);
  }
  loops_.store((loops_.load(std::memory_order_relaxed) + 1) & 0x3fffffff, std::memory_order_release);
  loops_.notify_all();
  work_through_queues(0);
  for (int spin = 0; spin < spins_ && unfinished_.load(std::memory_order_acquire); ++spin) pause();
  while (const int left = unfinished_.load(std::memory_order_acquire)) unfinished_.wait(left);
}

// Works through the member's own queue, then through those of the others.
void Team::work_through_queues(int member) {
  int done = 0;
  for (int i = 0; i < members_; ++i) {
    Queue& queue = queues_[(member + i) % members_];
    for (;;) {
      const Range piece = take_piece(queue.range, queue.grain.load(std::memory_order_relaxed), i == 0);
      if (piece.begin == piece.end) break;
      queue.call(queue.work, member, piece.begin, piece.end);
      done += piece.end - piece.begin;
    }
  }
  if (done && unfinished_.fetch_sub(done, std::memory_order_acq_rel) == done) unfinished_.notify_one();
}

void Team::worker_loop(int member) {
  const std::atomic<uint64_t>& own = queues_[member].range;
  for (;;) {
    for (int spin = 0; spin < spins_ && is_empty(own); ++spin) pause();
    const int loop = loops_.load(std::memory_order_acquire);
    if (loop < 0) return;
    if (is_empty(own))
      loops_.wait(loop, std::memory_order_acquire);
    else
      work_through_queues(member);
  }
}

}  // namespace hat
