// A team of threads that shares one loop after another, cheaply enough to share every matrix product.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace hat {

struct Range {
  int begin, end;
};

// Every member starts with a range of the loop and takes ever smaller pieces of it. A member whose range is used up
// takes pieces from the ranges of others. So no member waits for one whose processor is busy with another process,
// unless that one was stopped in the middle of a piece.
class Team {
 public:
  // `spin`: members wait actively for a moment, which needs a processor for each. Throws std::runtime_error where
  // the system does not let this process start so many threads.
  Team(int threads, bool spin);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return members_; }

  // Throws std::runtime_error in a process that was forked after the team was made: a fork has none of the threads.
  void check_process() const;

  // Calls work(member, begin, end) for ranges that together are [0, count), and returns when all calls are done.
  // Member 0 is the caller. `grain`: so few iterations take less time than waking another member, and are not divided.
  // All members see what the caller wrote before, and the caller sees afterwards what they wrote. `work` must not
  // throw, and its result must not depend on which member does which part.
  template <class Work>
  void parallel_for(int count, int grain, const Work& work) {
    if (members_ == 1 || count <= grain) {
      if (count > 0) work(0, 0, count);
      return;
    }
    parallel_for(count, grain, &work, [](const void* it, int member, int begin, int end) {
      (*static_cast<const Work*>(it))(member, begin, end);
    });
  }

 private:
  using Call = void (*)(const void* work, int member, int begin, int end);

  // The rest of a member's first range. Only a member that has taken a piece of it may read `call` and `work`.
  struct alignas(64) Queue {
    std::atomic<uint64_t> range{0};  // begin in the upper half of the bits, end in the lower
    Call call = nullptr;
    const void* work = nullptr;
    std::atomic<int> grain{1};
  };

  void parallel_for(int count, int grain, const void* work, Call call);
  void work_through_queues(int member);
  void worker_loop(int member);
  void stop();

  const int members_, spins_;
  const int process_;
  std::vector<std::thread> workers_;
  std::unique_ptr<Queue[]> queues_;
  alignas(64) std::atomic<int> unfinished_{0};  // iterations of the current loop
  alignas(64) std::atomic<int> loops_{0};       // number of loops so far; −1 ends the workers
};

}  // namespace hat
