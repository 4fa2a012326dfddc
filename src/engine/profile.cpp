// Profiles: steps of one sequence, run between those of the scheduler.
#include "ktx/profile.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "engine/run/profile.hpp"
#include "engine/state.hpp"
#include "ktx/bench.hpp"

namespace ktx {

namespace {

using engine::Phase;

// Lanes in which nothing ever happens.
void drop_unused(StepProfile& profile) {
  std::vector<int> number(profile.lanes.size(), -1);
  for (const Span& span : profile.spans) number[static_cast<size_t>(span.lane)] = 0;
  std::vector<std::string> used;
  for (size_t lane = 0; lane < number.size(); ++lane) {
    if (number[lane] < 0) continue;
    number[lane] = static_cast<int>(used.size());
    used.push_back(std::move(profile.lanes[lane]));
  }
  profile.lanes = std::move(used);
  for (Span& span : profile.spans) span.lane = number[static_cast<size_t>(span.lane)];
}

class Profiler {
 public:
  Profiler(engine::EngineState& state, const ProfileOptions& options,
           const engine::Scheduler::Resources& resources)
      : state_(state),
        options_(options),
        resources_(resources),
        sequence_(*state.cache),
        decode_threads_(state.scheduler->decode_threads()) {
    const auto vocab = state_.programs->of(Phase::decode).logits().width;
    const int64_t steps = 2 * (options.repeat + 1);
    ids_ = some_tokens(std::max({options.prompt, options.depth, steps}), static_cast<int>(vocab));
    if (!sequence_.reserve(std::max(options.prompt, options.depth + 1)))
      throw_environment("no room in the cache for the tokens of a profile: others hold its pages");
  }

  ProfileReport run() {
    ProfileReport report;
    const int64_t chunk = state_.details.prefill_chunk;
    report.prefill = profile(Phase::prefill, 0, std::min(chunk, options_.prompt), nullptr);
    for (int64_t past = 0, rows = 0; past < options_.depth; past += rows) {
      rows = std::min(chunk, options_.depth - past);
      time({.phase = Phase::prefill, .past = past, .rows = rows});
    }
    report.decode = profile(Phase::decode, options_.depth, 1, resources_.recording);
    return report;
  }

 private:
  struct OneStep {
    Phase phase = Phase::decode;
    int64_t past = 0, rows = 0;
    int64_t first_id = 0;  // among ids_
    const engine::Recording* recording = nullptr;
    engine::Profile* profile = nullptr;
  };

  // Runs a step up to its last token's logits; returns the seconds.
  double time(const OneStep& one) {
    const auto& program = state_.programs->of(one.phase);
    auto& workspace = one.phase == Phase::prefill ? resources_.slice : resources_.decode;
    const bool decodes = one.phase == Phase::decode;
    const auto ids = ids_.begin() + one.first_id;
    const engine::Batch batch{.ids = {ids, ids + one.rows},
                              .sequences = {{.phase = one.phase,
                                             .rows = one.rows,
                                             .past = one.past,
                                             .pages = sequence_.pages()}},
                              .logit_rows = {static_cast<int32_t>(one.rows - 1)},
                              .decode_kernels = decodes && state_.details.deterministic,
                              .workers = decodes ? decode_threads_ : 0};
    state_.devices.synchronize();
    if (one.profile != nullptr) one.profile->begin();
    const auto begun = engine::Profile::Clock::now();
    engine::Step step(program, batch, workspace, *state_.cache, state_.pool, one.recording,
                      one.profile);
    while (!step.finished()) step.advance();
    if (!step.failed()) step.logits(0, 1);
    const auto ended = engine::Profile::Clock::now();
    if (step.failed()) {
      state_.devices.recover();
      throw_environment("a GPU and the CPU waited too long for each other");
    }
    state_.devices.synchronize();
    if (one.profile != nullptr) one.profile->end(ended);
    return std::chrono::duration<double>(ended - begun).count();
  }

  StepProfile profile(Phase phase, int64_t past, int64_t rows, const engine::Recording* recording) {
    OneStep one{.phase = phase, .past = past, .rows = rows};
    // Every decode step has a token of its own, so that its experts come from memory.
    const auto next_id = [&] {
      if (phase == Phase::decode) ++one.first_id;
    };
    std::vector<double> unmarked;
    one.recording = recording;
    for (int i = 0; i <= options_.repeat; ++i, next_id()) {
      const double seconds = time(one);
      if (i > 0) unmarked.push_back(seconds);
    }
    engine::Profile marks(state_.programs->of(phase));
    std::optional<engine::Recording> marked;
    if (recording != nullptr)
      marked.emplace(state_.programs->of(phase), resources_.decode, *state_.cache, state_.pool,
                     &marks);
    one.recording = marked ? &*marked : nullptr;
    one.profile = &marks;
    std::vector<StepProfile> steps;
    for (int i = 0; i <= options_.repeat; ++i, next_id()) {
      time(one);
      if (i > 0) steps.push_back({.seconds = marks.seconds(), .spans = marks.spans()});
    }
    const auto middle = static_cast<std::ptrdiff_t>(steps.size() / 2);
    std::ranges::nth_element(steps, steps.begin() + middle, {}, &StepProfile::seconds);
    std::ranges::nth_element(unmarked, unmarked.begin() + middle);
    auto median = std::move(steps[static_cast<size_t>(middle)]);
    median.name = phase == Phase::prefill ? "prefill" : "decode";
    median.rows = rows;
    median.past = past;
    median.unmarked_seconds = unmarked[static_cast<size_t>(middle)];
    median.clock_error = marks.clock_error();
    median.lanes = marks.lanes();
    drop_unused(median);
    const auto& info = state_.details.model.info;
    for (int layer = 0; layer < info.layers; ++layer)
      median.layers.emplace_back(
          std::ranges::find(info.moe_layers, layer) != info.moe_layers.end() ? "moe" : "dense");
    return median;
  }

  engine::EngineState& state_;
  const ProfileOptions& options_;
  const engine::Scheduler::Resources& resources_;
  engine::KvSequence sequence_;
  int decode_threads_;
  std::vector<int32_t> ids_;
};

}  // namespace

ProfileReport profile_steps(Engine& engine, const ProfileOptions& options) {
  const auto state = engine::Access::state(engine);
  const int64_t most = engine.cache_length();
  if (options.prompt < 1 || options.prompt > most || options.depth < 0 || options.depth >= most ||
      options.repeat < 1)
    throw_input("a profile: expected a prompt of 1 to " + std::to_string(most) + " tokens, found " +
                std::to_string(options.prompt) + "; 0 to " + std::to_string(most - 1) +
                " before the decode step, found " + std::to_string(options.depth) +
                "; 1 repetition or more, found " + std::to_string(options.repeat));
  ProfileReport report;
  state->scheduler->call([&](const engine::Scheduler::Resources& resources) {
    report = Profiler(*state, options, resources).run();
  });
  return report;
}

}  // namespace ktx
