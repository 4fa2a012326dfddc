// Runs sessions on threads of their own and adds up what they did.
#include "tools/common/bench_sessions.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <span>
#include <utility>
#include <vector>

#include "ktx/session.hpp"
#include "tools/common/text.hpp"

namespace ktx::tools {

Together bench_together(Engine& engine, int64_t tokens, int repeat) {
  const int sessions = engine.plan().sessions();
  const auto firsts = some_tokens(sessions, engine.vocab_size());
  const auto before = engine.decoded_experts();
  std::vector<double> rates;
  for (int i = 0; i <= repeat; ++i) {
    std::vector<std::future<Generation>> running;
    for (const int32_t& first : firsts)
      running.push_back(std::async(std::launch::async, [&engine, &first, tokens] {
        return Session(engine).generate({&first, 1}, {.max_new_tokens = tokens + 1});
      }));
    int64_t decoded = 0;
    double seconds = 0;
    for (auto& one : running) {
      const auto result = one.get();
      decoded += result.decode_tokens;
      seconds = std::max(seconds, result.decode_seconds);
    }
    if (i > 0) rates.push_back(static_cast<double>(decoded) / seconds);
  }
  const auto after = engine.decoded_experts();
  return {.row = summarize(
              "decode " + std::to_string(tokens) + " in " + std::to_string(sessions) + " sessions",
              std::move(rates)),
          .experts = {.layers = after.layers - before.layers,
                      .experts = after.experts - before.experts,
                      .bytes = after.bytes - before.bytes,
                      .seconds = after.seconds - before.seconds}};
}

std::string experts_text(const ExpertUse& use, const MachineSpeed& machine) {
  const double rate = static_cast<double>(use.bytes) / use.seconds;
  return "\nsessions that decode together ran " +
         short_number(static_cast<double>(use.experts) / static_cast<double>(use.layers)) +
         " distinct experts a layer on the CPU, read at " + short_number(rate / 1e9) + " GB/s, " +
         short_number(rate / machine.read_bandwidth * 100) + " % of the read bandwidth\n";
}

Gap bench_gap(Engine& engine, int64_t prompt) {
  using Clock = std::chrono::steady_clock;
  const auto& plan = engine.plan();
  const auto ids = some_tokens(prompt, engine.vocab_size());
  Gap gap{.prompt = prompt};
  Session reading(engine);
  reading.generate(ids, {.max_new_tokens = 0});
  reading.rewind(0);
  const auto alone = reading.generate(ids, {.max_new_tokens = 0});
  reading.rewind(0);
  const auto slices =
      static_cast<double>((prompt + plan.prefill_chunk() - 1) / plan.prefill_chunk());
  gap.layer = alone.prefill_seconds / slices / plan.layers();

  std::future<Generation> reader;
  Session decoding(engine);
  Clock::time_point before;
  int64_t count = 0;
  constexpr int64_t undisturbed = 16;  // tokens, to measure a step alone
  Clock::time_point first;
  decoding.generate(some_tokens(1, engine.vocab_size()), {.max_new_tokens = -1}, [&](int32_t) {
    const auto now = Clock::now();
    if (count == 0) first = now;
    if (count == undisturbed) {
      gap.decode = std::chrono::duration<double>(now - first).count() / undisturbed;
      reader = std::async(std::launch::async,
                          [&] { return reading.generate(ids, {.max_new_tokens = 0}); });
    }
    if (count > undisturbed)
      gap.longest = std::max(gap.longest, std::chrono::duration<double>(now - before).count());
    before = now;
    ++count;
    return !reader.valid() || reader.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
  });
  if (reader.valid()) reader.get();
  return gap;
}

std::string gap_text(const Gap& gap) {
  const auto milliseconds = [](double seconds) { return short_number(seconds * 1e3); };
  return "\nlongest gap between a session's tokens while another one reads " +
         std::to_string(gap.prompt) + ": " + milliseconds(gap.longest) +
         " ms; a layer of the slice takes " + milliseconds(gap.layer) + " ms, a decode step " +
         milliseconds(gap.decode) + " ms\n";
}

}  // namespace ktx::tools
