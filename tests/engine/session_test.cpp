// Sessions of the shipped model: what they refuse, how they stop, and that a seed fixes the text.
#include "ktx/session.hpp"

#include <algorithm>
#include <limits>
#include <thread>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "engine/state.hpp"
#include "ktx/error.hpp"
#include "support/reference.hpp"

using namespace ktx;
using test::failure;

namespace {

Plan plan_for(int sessions) {
  return make_plan({.model = test::shipped_model,
                    .rules = test::source_dir / "optimize_rules/cpu.yaml",
                    .threads = 2,
                    .cache_length = 64,
                    .sessions = sessions});
}

Engine& shipped() {
  static Engine instance(plan_for(1));
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
        "  note: use a longer context, or a shorter prompt");
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

TEST_CASE("a stop string ends the text before it, and the session where it is complete") {
  const auto& tokenizer = shipped().tokenizer();
  Session session(shipped());
  const auto free = session.generate(prompt(), {.max_new_tokens = 30}).ids;
  const auto text = tokenizer.decode(free);
  // The border of two tokens, and the middle of what follows, of at least two tokens.
  const std::string stop = text.substr(text.size() / 2, 8);
  const std::string before = text.substr(0, text.find(stop));
  session.rewind(0);
  TextStream stream(tokenizer, {.stop = {"never said", stop}});
  std::string given;
  const auto result =
      session.generate(prompt(), {.max_new_tokens = 30}, stream, [&](const std::string& piece) {
        given += piece;
        CHECK(before.starts_with(given));
        return true;
      });
  CHECK(result.reason == StopReason::stop_string);
  CHECK(given == before);
  const auto count = result.ids.size();
  REQUIRE(count < free.size());
  CHECK(std::ranges::equal(result.ids, std::span(free).first(count)));
  CHECK(tokenizer.decode(result.ids).find(stop) == before.size());
  CHECK(tokenizer.decode(std::span(free).first(count - 1)).find(stop) == std::string::npos);
  CHECK(session.position() == std::ssize(prompt()) + std::ssize(result.ids) - 1);
}

TEST_CASE("what might have become a stop string is given at the end") {
  const auto& tokenizer = shipped().tokenizer();
  Session session(shipped());
  const auto text = tokenizer.decode(session.generate(prompt(), {.max_new_tokens = 8}).ids);
  session.rewind(0);
  TextStream stream(tokenizer, {.stop = {text.substr(1) + "never said"}});
  std::vector<std::string> pieces;
  const auto collect = [&](const std::string& piece) {
    pieces.push_back(piece);
    return true;
  };
  const auto result = session.generate(prompt(), {.max_new_tokens = 8}, stream, collect);
  CHECK(result.reason == StopReason::max_new_tokens);
  CHECK(pieces == std::vector{text.substr(0, 1), text.substr(1)});
}

TEST_CASE("a callback may ask its session where it is, and cancel it") {
  Session session(shipped());
  const auto& scheduler = *engine::Access::state(shipped())->scheduler;
  auto seen = prompt();  // what is in the cache when the next token is given out
  const auto start = std::ssize(seen);
  const auto steps = scheduler.counts().decode_steps;
  const auto result = session.generate(prompt(), {.max_new_tokens = 20}, [&](int32_t id) {
    if (std::ssize(seen) == start)  // the computation is ahead
      while (scheduler.counts().decode_steps < steps + 3) std::this_thread::yield();
    CHECK(session.position() == std::ssize(seen));
    CHECK(std::ranges::equal(session.tokens(), seen));
    if (std::ssize(seen) == start + 4) session.cancel();
    seen.push_back(id);
    return true;
  });
  CHECK(result.reason == StopReason::cancelled);
  CHECK(std::ranges::equal(result.ids, std::span(seen).subspan(static_cast<size_t>(start))));
  seen.pop_back();
  CHECK(std::ranges::equal(session.tokens(), seen));
  CHECK(session.position() == start + 4);
}

TEST_CASE("what a callback must not do is an error, neither a race nor a wait without end") {
  Engine engine(plan_for(2));
  Session session(engine), other(engine);
  const std::vector<int32_t> one{5};
  std::vector<std::string> refused;
  const auto attempt = [&](const auto& action) {
    try {
      action();
    } catch (const Error& e) {
      CHECK(e.category() == ErrorCategory::input);
      refused.push_back(e.message());
    }
  };
  SECTION("from on_token: what changes the running session") {
    session.generate(prompt(), {.max_new_tokens = 4}, [&](int32_t) {
      attempt([&] { session.rewind(0); });
      attempt([&] { session.fork(1); });
      attempt([&] { session.generate(one, {}); });
      attempt([&] { session.evaluate(one, [](int64_t, int64_t, const float*) {}); });
      other.rewind(0);
      other.generate(one, {.max_new_tokens = 2});
      return false;
    });
    const std::string why = ": the session is running a prompt";
    CHECK(refused == std::vector<std::string>{"can't rewind" + why, "can't fork" + why,
                                              "can't generate" + why, "can't evaluate" + why});
    CHECK(other.position() == 2);
  }
  SECTION("from on_rows: what waits for the engine") {
    int64_t position = -1;
    session.evaluate(prompt(), [&](int64_t, int64_t, const float*) {
      position = session.position();
      attempt([&] { engine.decoded_experts(); });
      attempt([&] { other.generate(one, {}); });
    });
    CHECK(position == 0);
    REQUIRE(refused.size() == 2);
    for (const auto& message : refused)
      CHECK(message == "on_rows can't wait for its own engine, on whose thread it is called");
  }
  session.rewind(0);
  CHECK(session.generate(prompt(), {.max_new_tokens = 5}).ids.size() == 5);
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
  Engine engine(plan_for(2));
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

TEST_CASE("penalties count what the generation has given, biases choose") {
  Session session(shipped());
  const auto ids = [&](const Sampling& sampling) {
    session.rewind(0);
    return session.generate(prompt(), {.max_new_tokens = 24, .sampling = sampling}).ids;
  };
  auto all_different = ids({.presence_penalty = 1e6f});
  std::ranges::sort(all_different);
  CHECK(std::ranges::adjacent_find(all_different) == all_different.end());
  CHECK(ids({.logit_bias = {{77, 1e6f}}}) == std::vector<int32_t>(24, 77));
  // Of 24 the more frequent one is always less probable by much more than the two differ.
  const auto two = ids({.frequency_penalty = 1e3f, .logit_bias = {{77, 1e6f}, {78, 1e6f}}});
  CHECK(std::ranges::count(two, 77) == 12);
  CHECK(std::ranges::count(two, 78) == 12);
  const auto first = ids({}).front();
  CHECK(ids({.logit_bias = {{first, -std::numeric_limits<float>::infinity()}}}).front() != first);
}

TEST_CASE("sampling options out of range are refused") {
  Session session(shipped());
  CHECK_THROWS_AS(session.generate(prompt(), {.sampling = {.logit_bias = {{4096, 1}}}}), Error);
  CHECK_THROWS_AS(session.generate(prompt(), {.sampling = {.temperature = -1.0f}}), Error);
  CHECK_THROWS_AS(session.generate(prompt(), {.sampling = {.top_p = 0.0f}}), Error);
  Sampling all_banned;
  for (int32_t id = 0; id < 4096; ++id)
    all_banned.logit_bias.push_back({id, -std::numeric_limits<float>::infinity()});
  CHECK(failure([&] { session.generate(prompt(), {.sampling = all_banned}); }) ==
        "input sampling: logit biases ban all tokens: expected at least one that is allowed");
  CHECK(session.position() == 0);  // the prompt was not read
  all_banned.logit_bias.erase(all_banned.logit_bias.begin() + 77);
  CHECK(session.generate(prompt(), {.max_new_tokens = 2, .sampling = all_banned}).ids ==
        std::vector<int32_t>{77, 77});
}
