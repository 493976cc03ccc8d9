// A small test library: named tests, and checks that print their place when they fail.
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
inline std::string context;  // printed by a failed check

struct Register {
  Register(const char* name, std::function<void()> run) { tests().push_back({name, std::move(run)}); }
};

#define TEST(name)                                                                                     \
  static void name();                                                                                  \
  static const Register register_##name(#name, name);                                                  \
  static void name()

inline void fail(const char* file, int line, const std::string& message) {
  std::printf("%s:%d: %s (%s)\n", file, line, message.c_str(), context.c_str());
  ++failures;
}

inline std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

#define CHECK(condition)                                                                               \
  do {                                                                                                 \
    if (!(condition)) fail(__FILE__, __LINE__, #condition " does not hold");                           \
  } while (false)

#define CHECK_NEAR(value, expected, tolerance)                                                         \
  do {                                                                                                 \
    const double a_ = (value), b_ = (expected);                                                        \
    if (!(std::fabs(a_ - b_) <= (tolerance)))                                                          \
      fail(__FILE__, __LINE__, std::string(#value " is ") + number(a_) + ", not " + number(b_));       \
  } while (false)

#define CHECK_THROWS(type, expression)                                                                 \
  do {                                                                                                 \
    try {                                                                                              \
      (void)(expression);                                                                              \
      fail(__FILE__, __LINE__, #expression " throws no " #type);                                       \
    } catch (const type&) {                                                                            \
    }                                                                                                  \
  } while (false)
