// The log: levels, braces, sinks that throw.
#include "core/base/log.hpp"

#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using namespace ktx;
using base::log;

TEST_CASE("messages reach the sink at the chosen level and above") {
  std::vector<std::pair<LogLevel, std::string>> got;
  const auto sink = [&](LogLevel level, std::string_view text) { got.emplace_back(level, text); };
  log(LogLevel::warning, "before there is a sink");
  set_log_sink(sink);
  log(LogLevel::debug, "too low");
  log(LogLevel::info, "one");
  log(LogLevel::warning, "two {} {0} %s");
  set_log_sink(sink, LogLevel::debug);
  log(LogLevel::debug, "three");
  set_log_sink(sink, LogLevel::warning);
  log(LogLevel::info, "too low");
  set_log_sink({});
  log(LogLevel::warning, "after");
  REQUIRE(got == std::vector<std::pair<LogLevel, std::string>>{{LogLevel::info, "one"},
                                                               {LogLevel::warning, "two {} {0} %s"},
                                                               {LogLevel::debug, "three"}});
}

TEST_CASE("a sink that throws harms nobody and prints nothing") {
  int calls = 0;
  set_log_sink([&](LogLevel, std::string_view) {
    ++calls;
    throw std::runtime_error("sink");
  });
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const int saved = ::dup(2);
  ::dup2(pipe_ends[1], 2);
  REQUIRE_NOTHROW(log(LogLevel::info, "x"));
  ::dup2(saved, 2);
  ::close(saved);
  ::close(pipe_ends[1]);
  char printed[64];
  REQUIRE(::read(pipe_ends[0], printed, sizeof printed) == 0);
  ::close(pipe_ends[0]);
  REQUIRE(calls == 1);
  set_log_sink({});
}

TEST_CASE("threads log one at a time") {
  int count = 0;
  set_log_sink([&](LogLevel, std::string_view) { ++count; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 500; ++i) log(LogLevel::info, "message");
    });
  for (auto& thread : threads) thread.join();
  set_log_sink({});
  REQUIRE(count == 2000);
}
