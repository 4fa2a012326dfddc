// The main function of Catch2 v2, with v3's exit code for skipped tests; v3 brings its own.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <iostream>
#include <utility>

namespace {

// Cases that ran, and those of them that were skipped.
int cases = 0, skipped_cases = 0;
bool case_is_skipped = false;

struct Cases : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    ++cases;
    if (std::exchange(case_is_skipped, false) && stats.totals.assertions.allPassed())
      ++skipped_cases;
  }
};
CATCH_REGISTER_LISTENER(Cases)

}  // namespace

void ktx_test::note_skip(const char* file, int line, const std::string& reason) {
  case_is_skipped = true;
  std::cout << file << ":" << line << ": SKIPPED: " << reason << std::endl;
}

int main(int argc, char** argv) {
  const int failed = Catch::Session().run(argc, argv);
  const int all_skipped = 4;  // SKIP_RETURN_CODE in CMakeLists.txt
  return failed == 0 && cases > 0 && skipped_cases == cases ? all_skipped : failed;
}
