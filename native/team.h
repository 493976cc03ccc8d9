// A team of threads that works through one call together, with barriers cheap enough for every product.
#pragma once
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace hat {

class Team {
 public:
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  // Calls work(index) on every member, the caller being member 0, and returns when all are done.
  // `work` must not throw. Throws std::runtime_error in a process forked after the team was made.
  void run(const std::function<void(int)>& work);
  // Members wait here for each other; what one wrote before, all see after.
  void barrier();

 private:
  void serve(int index);

  std::vector<std::thread> workers_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<int> call_{0};  // counts calls of run; −1 ends the workers
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> phase_{0};
  int spins_;
  int process_;
};

}  // namespace hat
