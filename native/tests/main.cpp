// Runs the tests whose name contains the argument, or all. Exit code 1 where a check failed.
#include <cstring>

#include "check.h"

int main(int count, char** arguments) {
  int failed = 0, passed = 0;
  for (const Test& test : tests()) {
    if (count > 1 && !std::strstr(test.name, arguments[1])) continue;
    context = test.name;
    const int before = failures;
    test.run();
    ++(failures == before ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed;
}
