// Threads share work: each item is done once, no member waits for an absent one, a failed start is an error.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "engine/team.h"

using namespace hat;

namespace {

std::atomic<int> startable{1 << 20};

// Waits until `holds` returns true, ten seconds at most.
template <class Condition>
bool eventually(const Condition& holds) {
  const auto last = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > last) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

// Replaces the C library's function: after a given number of threads the system refuses another.
extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread, const pthread_attr_t* how,
                                                                     void* (*run)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const Create create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return startable.fetch_sub(1) > 0 ? create(thread, how, run, argument) : EAGAIN;
}

TEST(all_work_is_done_once) {
  for (const int threads : {1, 2, 3, 7})
    for (const bool spin : {true, false}) {
      Team team(threads, spin);
      CHECK(team.size() == threads);
      for (int turn = 0; turn < 500; ++turn) {
        const int count = turn % 41, grain = 1 + turn % 3;
        std::vector<int> times(count), seen(count, -1);
        std::atomic<int> strangers{0};
        team.parallel_for(count, grain, [&](int member, int begin, int end) {
          if (member < 0 || member >= threads) ++strangers;
          for (int i = begin; i < end; ++i) ++times[i];
        });
        // Any later member reads what one member wrote.
        team.parallel_for(count, grain, [&](int, int begin, int end) {
          for (int i = begin; i < end; ++i) seen[i] = times[count - 1 - i];
        });
        for (int i = 0; i < count; ++i) CHECK(times[i] == 1 && seen[i] == 1);
        CHECK(strangers == 0);
      }
    }
}

TEST(nobody_waits_for_a_member_that_is_away) {
  Team team(3, true);
  for (int turn = 0; turn < 20; ++turn) {
    constexpr int kCount = 300;
    std::atomic<int> done{0};
    std::atomic<bool> away{false};
    bool all = true;
    team.parallel_for(kCount, 1, [&](int, int begin, int end) {
      // The first member stops in its piece until the others have done everything else.
      if (!away.exchange(true)) all = eventually([&] { return done == kCount - (end - begin); });
      done += end - begin;
    });
    CHECK(all);
    CHECK(done == kCount);
  }
}

TEST(a_loop_of_one_grain_stays_with_the_caller) {
  Team team(2, true);
  int members = 0, calls = 0;
  for (int turn = 0; turn < 100; ++turn)
    team.parallel_for(4, 4, [&](int member, int begin, int end) {
      members += member;
      calls += begin == 0 && end == 4;
    });
  CHECK(members == 0);
  CHECK(calls == 100);
}

TEST(a_thread_that_cannot_be_started_is_an_error) {
  for (const int most : {0, 1, 3}) {
    startable = most;
    CHECK_THROWS(std::runtime_error, Team(5, true));
    startable = 1 << 20;
  }
  Team team(5, true);  // the threads of the failed start are gone
  std::atomic<int> done{0};
  team.parallel_for(5, 1, [&](int, int begin, int end) { done += end - begin; });
  CHECK(done == 5);
}
