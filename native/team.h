// A team of threads that shares out one piece of work after the other, cheaply enough for every product.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace hat {

// Every member has a part of the work of its own and takes it in ever smaller pieces; who is done takes from
// the others what they have not begun. So no one waits for a member whose processor is busy with another
// process, unless that was stopped in the middle of a piece.
class Team {
 public:
  // `spin`: whether members wait actively for a moment, which needs a processor for each. Throws
  // std::runtime_error where the system does not let this process start so many threads.
  Team(int threads, bool spin);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return members_; }

  // Throws std::runtime_error in a process forked after the team was made, where nothing can be shared.
  void check_process() const;

  // Calls work(member, begin, end) for ranges that together are [0, count), and returns when all are done: on
  // member 0, which is the caller, and on others that have time. `least`: fewer of the `count` than this take
  // less time than telling another member. What was written before, all see; what they write, the caller
  // sees after. `work` must not throw, nor depend on which member does what.
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

  // What nobody has begun of a member's part, begin in the upper half and end in the lower, and the work that
  // it is part of, which only who has taken a piece may look at.
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
  alignas(64) std::atomic<int> unfinished_{0};  // of the work that is shared now
  alignas(64) std::atomic<int> calls_{0};       // counts calls of share; −1 ends the workers
};

}  // namespace hat
