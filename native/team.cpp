#include "team.h"

#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

#include <stdexcept>

namespace hat {
namespace {

// Some 50 µs: members of a running call seldom sleep, and an idle engine soon does.
constexpr int kSpins = 2000;

int processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int wait_for_change(const std::atomic<int>& value, int old, int spins) {
  for (int spin = 0; spin < spins; ++spin) {
    const int now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

// With more threads than processors, a spinning member would keep a working one from running.
Team::Team(int threads) : spins_(threads > processors() ? 0 : kSpins), process_(getpid()) {
  for (int index = 1; index < threads; ++index) workers_.emplace_back([this, index] { serve(index); });
}

Team::~Team() {
  if (process_ != getpid()) {  // the threads stayed behind in the parent process
    for (std::thread& worker : workers_) worker.detach();
    return;
  }
  call_.store(-1, std::memory_order_release);
  call_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::run(const std::function<void(int)>& work) {
  if (workers_.empty()) return work(0);
  if (process_ != getpid())
    throw std::runtime_error("the engine was loaded before this process forked; load it in the new process");
  work_ = &work;
  call_.store((call_.load(std::memory_order_relaxed) + 1) & 0x3fffffff, std::memory_order_release);
  call_.notify_all();
  work(0);
  barrier();
}

void Team::barrier() {
  if (workers_.empty()) return;
  const int phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
  } else {
    wait_for_change(phase_, phase, spins_);
  }
}

void Team::serve(int index) {
  for (int call = 0;;) {
    call = wait_for_change(call_, call, spins_);
    if (call < 0) return;
    (*work_)(index);
    barrier();
  }
}

}  // namespace hat
