// The little that these tests need of a test library: named tests and checks that say where they failed.
#pragma once
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

struct Test {
  const char* name;
  std::function<void()> run;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int failures = 0;
inline std::string context;  // what a failed check prints beside its place

struct Register {
  Register(const char* name, std::function<void()> run) { tests().push_back({name, std::move(run)}); }
};

#define TEST(name)                                  \
  static void name();                               \
  static const Register register_##name(#name, name); \
  static void name()

#define CHECK(condition)                                                                               \
  do {                                                                                                 \
    if (!(condition)) {                                                                                \
      std::printf("%s:%d: %s does not hold (%s)\n", __FILE__, __LINE__, #condition, context.c_str());  \
      ++failures;                                                                                      \
    }                                                                                                  \
  } while (false)

#define CHECK_NEAR(found, expected, tolerance)                                                        \
  do {                                                                                                \
    const double a_ = (found), b_ = (expected);                                                       \
    if (!(std::fabs(a_ - b_) <= (tolerance))) {                                                       \
      std::printf("%s:%d: %s is %g, not %g (%s)\n", __FILE__, __LINE__, #found, a_, b_, context.c_str()); \
      ++failures;                                                                                     \
    }                                                                                                 \
  } while (false)

#define CHECK_THROWS(type, expression)                                                                  \
  do {                                                                                                  \
    bool thrown_ = false;                                                                               \
    try {                                                                                               \
      (void)(expression);                                                                               \
    } catch (const type&) {                                                                             \
      thrown_ = true;                                                                                   \
    }                                                                                                   \
    if (!thrown_) {                                                                                     \
      std::printf("%s:%d: %s throws no %s (%s)\n", __FILE__, __LINE__, #expression, #type, context.c_str()); \
      ++failures;                                                                                       \
    }                                                                                                   \
  } while (false)
