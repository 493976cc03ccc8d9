// A team of threads that shares one piece of work after another, cheaply enough to share every product.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace hat {

// Every member has a part of the work and takes ever smaller pieces of it; a member that is done takes pieces that
// others have not begun. So no member waits for one whose processor is busy with another process, unless that one
// was stopped in the middle of a piece.
class Team {
 public:
  // `spin`: members wait actively for a moment, which needs a processor for each. Throws std::runtime_error where
  // the system does not let this process start so many threads.
  Team(int threads, bool spin);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return members_; }

  // Throws std::runtime_error in a process forked after the team was made: a fork has none of the threads.
  void check_process() const;

  // Calls work(member, begin, end) for ranges that together are [0, count), and returns when all are done. Member
  // 0 is the caller; others join in when they have time. `least`: so few of the `count` that working on them takes
  // less time than waking another member. All members see what the caller wrote before, and the caller sees
  // afterwards what they wrote. `work` must not throw, and must not depend on which member does what.
  template <class Work>
  void share(int count, int least, const Work& work) {
    if (members_ == 1 || count <= least) {
      if (count > 0) work(0, 0, count);
      return;
    }
    share(count, least, &work, [](const void* it, int member, int begin, int end) {
      (*static_cast<const Work*>(it))(member, begin, end);
    });
  }

 private:
  using Call = void (*)(const void* work, int member, int begin, int end);

  // The range of a member's part that nobody has begun (begin in the upper half of the bits, end in the lower),
  // and the work that it belongs to, which only a member that has taken a piece may read.
  struct alignas(64) Part {
    std::atomic<uint64_t> range{0};
    Call call = nullptr;
    const void* work = nullptr;
    std::atomic<int> least{1};
  };

  void share(int count, int least, const void* work, Call call);
  void work_through(int member);
  void serve(int member);
  void stop();

  const int members_, spins_;
  const int process_;
  std::vector<std::thread> workers_;
  std::unique_ptr<Part[]> parts_;
  alignas(64) std::atomic<int> unfinished_{0};  // items of the work that is being shared
  alignas(64) std::atomic<int> calls_{0};       // number of calls of share; −1 ends the workers
};

}  // namespace hat
