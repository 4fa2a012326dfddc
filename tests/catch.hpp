// Catch2 v2 (Debian 12) and v3 (Ubuntu 24.04) behind one include.
#pragma once
#ifdef KTX_CATCH2_V3
#include <catch2/catch_all.hpp>
using Catch::Approx;
using Catch::Matchers::Contains;
#else
#include <catch2/catch.hpp>

namespace ktx_test {
/// Notes that the running test case did not test what it is there for, and says why.
void note_skip(const char* file, int line, const std::string& reason);
}  // namespace ktx_test

/// v3's: ends a test case whose data, hardware or permission is missing. ctest shows it as skipped.
/// To be used in the body of the test case itself.
#define SKIP(...)                                                                                  \
  do {                                                                                             \
    ktx_test::note_skip(__FILE__, __LINE__, (Catch::ReusableStringStream() << __VA_ARGS__).str()); \
    return;                                                                                        \
  } while (false)
#endif
