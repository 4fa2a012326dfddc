// Requests of many sessions at once: who shares a step, who waits, who is refused.
#include "engine/run/scheduler.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <thread>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "engine/state.hpp"
#include "ktx/error.hpp"
#include "ktx/session.hpp"
#include "ops/linear/linear.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

const auto usual_rules = test::source_dir / "optimize_rules/cpu.yaml";

Engine engine_for(int sessions, bool deterministic = false, int64_t prefill_chunk = 64,
                  const std::filesystem::path& rules = usual_rules) {
  return Engine(make_plan({.model = test::shipped_model,
                           .rules = rules,
                           .threads = 2,
                           .cache_length = 512,
                           .prefill_chunk = prefill_chunk,
                           .sessions = sessions,
                           .deterministic = deterministic}));
}

std::vector<int32_t> prompt_of(int64_t length, int32_t first = 5) {
  std::vector<int32_t> ids{0};
  while (static_cast<int64_t>(ids.size()) < length)
    ids.push_back((first + static_cast<int32_t>(ids.size()) * 37) % 4000);
  return ids;
}

engine::Scheduler::Counts counts(Engine& engine) {
  return engine::Access::state(engine)->scheduler->counts();
}

/// Runs body(i) on a thread for each i.
template <class Body>
void in_parallel(int count, const Body& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (auto& thread : threads) thread.join();
}

/// The same; none of their requests is served before all have come.
template <class Body>
void in_parallel_at_once(Engine& engine, int count, const Body& body) {
  Session first(engine);
  std::vector<std::thread> threads;
  first.evaluate(prompt_of(20), [&](int64_t, int64_t, const float*) {  // the scheduler waits
    if (!threads.empty()) return;
    const int64_t before = counts(engine).requests;
    for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
    while (counts(engine).requests < before + count) std::this_thread::yield();
  });
  for (auto& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("decoding sessions share steps") {
  Engine engine = engine_for(4);
  in_parallel(4, [&](int i) {
    Session session(engine);
    const auto result = session.generate(prompt_of(4, 100 * i), {.max_new_tokens = 200});
    CHECK(result.ids.size() == 200);
    CHECK(result.decode_tokens == 199);
  });
  const auto seen = counts(engine);
  CHECK(seen.decode_rows == 4 * 199);
  CHECK(seen.decode_steps < 4 * 199);  // alone they would be as many
}

TEST_CASE("between the layers of a long prompt the others decode") {
  Engine engine = engine_for(2);
  std::atomic<bool> decoding{false};
  std::thread other([&] {
    Session session(engine);
    session.generate(prompt_of(4), {.max_new_tokens = 400}, [&](int32_t) {
      decoding = true;
      return true;
    });
  });
  while (!decoding) std::this_thread::yield();
  const auto before = counts(engine);
  Session session(engine);
  session.generate(prompt_of(400, 9), {.max_new_tokens = 1});
  const auto after = counts(engine);
  other.join();
  CHECK(after.slices - before.slices == 7);  // of 64 rows
  CHECK(after.slice_layers - before.slice_layers == 7 * 4);
  // As long as the other one decodes, each layer is preceded by one of its steps.
  CHECK(after.decode_steps_within_slices - before.decode_steps_within_slices >= 4);
}

TEST_CASE("a caller's own steps run between those of others, never within a slice") {
  Engine engine = engine_for(2);
  auto& scheduler = *engine::Access::state(engine)->scheduler;
  std::atomic<bool> done{false};
  std::thread other([&] {
    Session session(engine);
    session.generate(prompt_of(400), {.max_new_tokens = 10});
    done = true;
  });
  int64_t calls = 0, within = 0;
  while (!done)
    scheduler.call([&](const auto& resources) {
      const auto seen = scheduler.counts();
      ++calls;
      within += seen.slice_layers != 4 * seen.slices;
      CHECK(resources.recording == nullptr);  // on the CPU
    });
  other.join();
  CHECK(calls > 0);
  CHECK(within == 0);
  CHECK_THROWS_AS(scheduler.call([](const auto&) { throw std::runtime_error("mine"); }),
                  std::runtime_error);
}

TEST_CASE("several prompts share a slice, but not when the plan is deterministic") {
  for (const bool deterministic : {false, true}) {
    Engine engine = engine_for(4, deterministic, 512);
    in_parallel_at_once(engine, 3, [&](int i) {
      Session session(engine);
      session.generate(prompt_of(40, 100 * i), {.max_new_tokens = 1});
    });
    const auto slices = counts(engine).slices;
    CHECK(slices == (deterministic ? 4 : 2));
  }
}

TEST_CASE("a deterministic plan gives every text as alone, whatever runs beside it") {
  // The shared expert's down on the reference's loops, all else on this CPU's best.
  const auto mixed_rules = test::own_file("scheduler_test.yaml");
  base::write_file(mixed_rules,
                   "ktx: 1\nrules:\n"
                   "  - {name: one, match: {name: shared_experts.down}, place: {op: linear.ref}}\n"
                   "  - {name: rest, match: {name: '.*'}, place: {device: cpu}}\n");
  for (const auto& rules : {usual_rules, mixed_rules}) {
    INFO(rules);
    constexpr int sessions = 24;
    Engine engine = engine_for(sessions, true, 64, rules);
    const auto generate = [&](int i) {
      Session session(engine);
      return session
          .generate(prompt_of(3 + 2 * i, 11 * i),
                    {.max_new_tokens = 60,
                     .sampling = {.temperature = 0.8f, .seed = static_cast<uint64_t>(i)}})
          .ids;
    };
    std::vector<std::vector<int32_t>> alone(sessions), together(sessions);
    for (int i = 0; i < sessions; ++i) alone[static_cast<size_t>(i)] = generate(i);
    const auto before = counts(engine);
    in_parallel_at_once(engine, sessions,
                        [&](int i) { together[static_cast<size_t>(i)] = generate(i); });
    int others = 0;
    for (size_t i = 0; i < alone.size(); ++i) others += together[i] != alone[i];
    CHECK(others == 0);
    // Steps of more rows than decode kernels are usually given.
    const auto after = counts(engine);
    CHECK(after.decode_rows - before.decode_rows >
          ops::decode_tokens * (after.decode_steps - before.decode_steps));
  }
}

TEST_CASE("sessions beyond the seats wait their turn") {
  Engine engine = engine_for(2);
  std::atomic<int> done{0};
  in_parallel(7, [&](int i) {
    Session session(engine);
    done += session.generate(prompt_of(10, i), {.max_new_tokens = 20}).ids.size() == 20;
  });
  CHECK(done == 7);
}

TEST_CASE("a request that no running one can make room for is refused with its reason") {
  Engine engine = engine_for(1);  // 8 pages
  Session idle(engine);
  idle.generate(prompt_of(300), {.max_new_tokens = 1});
  Session other(engine);
  std::string message;
  try {
    other.generate(prompt_of(200), {.max_new_tokens = 100});
  } catch (const Error& e) {
    CHECK(e.category() == ErrorCategory::environment);
    message = e.what();
  }
  CHECK(message ==
        "no room in the cache: the request may need 300 tokens, in pages of 64; of 8 pages 3 are "
        "free, the others hold the tokens of other sessions\n"
        "  note: more sessions in the plan (--sessions) give it more pages");
  CHECK(other.position() == 0);
  idle.rewind(0);
  CHECK(other.generate(prompt_of(200), {.max_new_tokens = 100}).ids.size() == 100);
}

TEST_CASE("a cancel before the start ends the request that it was meant for") {
  Engine engine = engine_for(1);
  Session session(engine);
  session.cancel();
  const auto result = session.generate(prompt_of(100), {.max_new_tokens = 50});
  CHECK(result.reason == StopReason::cancelled);
  CHECK(result.ids.empty());
  CHECK(session.position() == 0);
  CHECK(session.generate(prompt_of(100), {.max_new_tokens = 5}).ids.size() == 5);
}

TEST_CASE("cancelling a waiting request does not wait for its turn") {
  Engine engine = engine_for(1);
  Session running(engine), waiting(engine);
  std::thread other;
  std::atomic<bool> cancelled{false};
  running.generate(prompt_of(4), {.max_new_tokens = 300}, [&](int32_t) {
    if (!other.joinable())
      other = std::thread([&] {
        std::thread canceller([&] { waiting.cancel(); });
        const auto result = waiting.generate(prompt_of(100), {.max_new_tokens = 300});
        canceller.join();
        cancelled = result.reason == StopReason::cancelled;
      });
    return true;
  });
  other.join();
  CHECK(cancelled);
}

TEST_CASE("two requests of one batch may use different numbers of experts") {
  Engine engine = engine_for(2, true);
  const auto generate = [&](int experts) {
    Session session(engine);
    return session.generate(prompt_of(30), {.max_new_tokens = 30, .experts_per_token = experts})
        .ids;
  };
  const auto six = generate(6), eight = generate(8);
  CHECK(generate(0) == eight);
  CHECK(six != eight);
  std::vector<int32_t> got_six, got_eight;
  in_parallel(2, [&](int i) { (i == 0 ? got_six : got_eight) = generate(i == 0 ? 6 : 8); });
  CHECK(got_six == six);
  CHECK(got_eight == eight);
}

TEST_CASE("experts a token out of range are refused") {
  Engine engine = engine_for(1);
  CHECK(engine.max_experts_per_token() == 8);
  Session session(engine);
  for (const int experts : {-1, 9}) {
    std::string message;
    try {
      session.generate(prompt_of(4), {.experts_per_token = experts});
    } catch (const Error& e) {
      message = e.what();
    }
    CHECK(message == "experts per token: expected 1 to 8, found " + std::to_string(experts) +
                         "\n  note: a plan made with --max-experts has room for more");
  }
}

TEST_CASE("what the caller's functions throw reaches the caller, and the engine goes on") {
  Engine engine = engine_for(2);
  Session session(engine);
  CHECK_THROWS_AS(session.generate(prompt_of(4), {.max_new_tokens = 50},
                                   [](int32_t) -> bool { throw std::runtime_error("mine"); }),
                  std::runtime_error);
  CHECK_THROWS_AS(
      session.evaluate(prompt_of(100),
                       [](int64_t, int64_t, const float*) { throw std::runtime_error("mine"); }),
      std::runtime_error);
  session.rewind(0);
  CHECK(session.generate(prompt_of(4), {.max_new_tokens = 5}).ids.size() == 5);
}

// Runs for KTX_STRESS_SECONDS, under ThreadSanitizer too: test_engine "[stress]".
TEST_CASE("sessions that start and are cancelled at random", "[.][stress]") {
  const char* seconds = std::getenv("KTX_STRESS_SECONDS");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(seconds == nullptr ? 10 : std::atoi(seconds));
  Engine engine = engine_for(8, true);
  const auto request = [](int kind) {
    return GenerateOptions{.max_new_tokens = 4 + kind % 29,
                           .sampling = {.temperature = kind % 3 == 0 ? 0.0f : 1.0f,
                                        .seed = static_cast<uint64_t>(kind)},
                           .experts_per_token = kind % 5 == 0 ? 6 : 0};
  };
  constexpr int kinds = 24;
  std::vector<std::vector<int32_t>> alone;
  for (int kind = 0; kind < kinds; ++kind) {
    Session session(engine);
    alone.push_back(session.generate(prompt_of(1 + 17 * kind, kind), request(kind)).ids);
  }
  std::atomic<int64_t> finished{0}, cancelled{0}, wrong{0};
  in_parallel(16, [&](int i) {
    std::mt19937 random(static_cast<uint32_t>(i));
    while (std::chrono::steady_clock::now() < end) {
      const int kind = static_cast<int>(random() % kinds);
      Session session(engine);
      std::thread canceller;
      if (random() % 3 == 0)
        canceller = std::thread([&session, delay = random() % 20000] {
          std::this_thread::sleep_for(std::chrono::microseconds(delay));
          session.cancel();
        });
      const auto result = session.generate(prompt_of(1 + 17 * kind, kind), request(kind),
                                           [](int32_t) { return true; });
      if (canceller.joinable()) canceller.join();
      const auto& expected = alone[static_cast<size_t>(kind)];
      const bool whole = result.reason != StopReason::cancelled;
      (whole ? finished : cancelled) += 1;
      if (result.ids.size() > expected.size() || (whole && result.ids != expected) ||
          !std::equal(result.ids.begin(), result.ids.end(), expected.begin()))
        ++wrong;
    }
  });
  WARN(finished << " requests finished, " << cancelled << " cancelled");
  CHECK(wrong == 0);
  CHECK(finished > 0);
}
