// Sessions of the shipped model: what they refuse, how they stop, and that a seed fixes the text.
#include "ktx/session.hpp"

#include <thread>

#include "catch.hpp"
#include "ktx/error.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

Engine& shipped() {
  static Engine instance(make_plan({.model = test::shipped_model,
                                    .rules = test::source_dir / "optimize_rules/cpu.yaml",
                                    .threads = 2,
                                    .cache_length = 64}));
  return instance;
}

std::vector<int32_t> prompt(const std::string& text = "The history of") {
  auto ids = shipped().tokenizer().encode(text);
  ids.insert(ids.begin(), *shipped().tokenizer().bos());
  return ids;
}

std::string message(const std::vector<int32_t>& ids) {
  Session session(shipped());
  try {
    session.generate(ids, {});
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a prompt that can't run is refused with its reason") {
  CHECK(message({}) == "the prompt is empty: expected at least one token");
  CHECK(message({0, 4096}) == "token id 4096 is not in the vocabulary: expected 0 to 4095");
  CHECK(message({0, -1}) == "token id -1 is not in the vocabulary: expected 0 to 4095");
  CHECK(message(std::vector<int32_t>(65, 5)) ==
        "the prompt has 65 tokens, but the cache holds 64\n"
        "  note: give a larger cache length, or a shorter prompt");
}

TEST_CASE("a refused prompt leaves the session as it was") {
  Session session(shipped());
  const auto first = session.generate(prompt(), {.max_new_tokens = 4});
  const auto position = session.position();
  CHECK_THROWS_AS(session.generate(std::vector<int32_t>(64, 5), {}), Error);
  CHECK(session.position() == position);
  CHECK(first.ids.size() == 4);
}

TEST_CASE("generation stops for each of its reasons") {
  Session session(shipped());
  SECTION("max_new_tokens") {
    const auto result = session.generate(prompt(), {.max_new_tokens = 3});
    CHECK(result.reason == StopReason::max_new_tokens);
    CHECK(result.ids.size() == 3);
    CHECK(result.prefill_tokens == static_cast<int64_t>(prompt().size()));
    CHECK(result.decode_tokens == 2);
  }
  SECTION("nothing asked for") {
    CHECK(session.generate(prompt(), {.max_new_tokens = 0}).ids.empty());
  }
  SECTION("a stop id, which is not given out") {
    const auto free = session.generate(prompt(), {.max_new_tokens = 6}).ids;
    session.rewind(0);
    const auto result = session.generate(prompt(), {.max_new_tokens = 6, .stop_ids = {free[0]}});
    CHECK(result.reason == StopReason::stop_id);
    CHECK(result.ids.empty());
  }
  SECTION("the cache is full") {
    const auto result = session.generate(prompt(), {.max_new_tokens = 1000});
    CHECK(result.reason == StopReason::cache_full);
    CHECK(session.position() == 64);
    CHECK(result.ids.size() == 64 - prompt().size() + 1);
  }
  SECTION("the callback says so") {
    const auto result = session.generate(prompt(), {.max_new_tokens = 50},
                                         [n = 0](int32_t) mutable { return ++n < 5; });
    CHECK(result.reason == StopReason::cancelled);
    CHECK(result.ids.size() == 5);
  }
  SECTION("cancel from another thread; the next run is not cancelled") {
    std::thread canceller;
    const auto result = session.generate(prompt(), {.max_new_tokens = 50}, [&](int32_t) {
      if (!canceller.joinable()) {
        canceller = std::thread([&] { session.cancel(); });
        canceller.join();
        canceller = std::thread([] {});
      }
      return true;
    });
    canceller.join();
    CHECK(result.reason == StopReason::cancelled);
    CHECK(result.ids.size() == 1);
    session.rewind(0);
    CHECK(session.generate(prompt(), {.max_new_tokens = 5}).ids.size() == 5);
  }
}

TEST_CASE("rewinding and going on gives the text of one run") {
  Session session(shipped());
  const auto whole = session.generate(prompt(), {.max_new_tokens = 12}).ids;
  session.rewind(static_cast<int64_t>(prompt().size()) + 4);
  const auto rest = session.generate({&whole[4], 1}, {.max_new_tokens = 7}).ids;
  CHECK(rest == std::vector<int32_t>(whole.begin() + 5, whole.end()));
  CHECK_THROWS_AS(session.rewind(65), Error);
  CHECK_THROWS_AS(session.rewind(session.position() + 1), Error);
  CHECK_THROWS_AS(session.rewind(-1), Error);
}

TEST_CASE("a fork goes on where its origin was, and neither changes the other") {
  Engine engine(make_plan({.model = test::shipped_model,
                           .rules = test::source_dir / "optimize_rules/cpu.yaml",
                           .threads = 2,
                           .cache_length = 64,
                           .sessions = 2}));
  Session session(engine);
  const auto start = prompt();
  const auto whole = session.generate(start, {.max_new_tokens = 12}).ids;
  const auto position = static_cast<int64_t>(start.size()) + 4;
  Session fork = session.fork(position);
  CHECK(fork.position() == position);
  const std::vector<int32_t> other{17};
  fork.fork(position).generate(other, {.max_new_tokens = 9});
  CHECK(fork.generate({&whole[4], 1}, {.max_new_tokens = 7}).ids ==
        std::vector<int32_t>(whole.begin() + 5, whole.end()));
  session.rewind(position);
  CHECK(session.generate({&whole[4], 1}, {.max_new_tokens = 7}).ids ==
        std::vector<int32_t>(whole.begin() + 5, whole.end()));
  CHECK_THROWS_AS(session.fork(session.position() + 1), Error);
}

TEST_CASE("a seed fixes the text") {
  const auto sample = [](uint64_t seed) {
    Session session(shipped());
    return session
        .generate(prompt(), {.max_new_tokens = 20,
                             .sampling = {.temperature = 1.0f, .top_p = 0.95f, .seed = seed}})
        .ids;
  };
  CHECK(sample(1) == sample(1));
  CHECK(sample(1) != sample(2));
}

TEST_CASE("sampling options out of range are refused") {
  Session session(shipped());
  CHECK_THROWS_AS(session.generate(prompt(), {.sampling = {.temperature = -1.0f}}), Error);
  CHECK_THROWS_AS(session.generate(prompt(), {.sampling = {.top_p = 0.0f}}), Error);
}
