// Processor time by part of a model. Only builds with HAT_PROFILE measure it (benchmarks/time_shares.py); in others
// `charge` does nothing.
#pragma once

#ifdef HAT_PROFILE
#include <array>
#include <ctime>
#endif

namespace hat {

// `outside`: everything but the engine. `encoder`: its layers. `self_attention`, `cross_attention`, `feed_forward`: of
// the decoder's layers; cross-attention with the keys and values of the source. `beam`: the search, with its memory.
enum class Part { outside, embedding, encoder, self_attention, cross_attention, feed_forward, projection, beam };
constexpr const char* kPartNames[] = {"outside",         "embedding",    "encoder",    "self-attention",
                                      "cross-attention", "feed-forward", "projection", "beam"};
constexpr int kParts = sizeof kPartNames / sizeof *kPartNames;

#ifdef HAT_PROFILE

struct Profile {
  std::array<double, kParts> seconds{};
  double last = 0;  // time of the last call to `charge`
};
inline thread_local Profile profile;

// Adds the processor time that this thread has used since the last call to `part`.
inline void charge(Part part) {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  const double time = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  profile.seconds[static_cast<int>(part)] += time - profile.last;
  profile.last = time;
}

#else

inline void charge(Part) {}

#endif

}  // namespace hat
