// ktx::suggest_rules: options, header and machine for the search in placement/suggest.
#include <functional>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "engine/bench/detect.hpp"
#include "engine/build_model.hpp"
#include "engine/plan_inputs.hpp"
#include "engine/source.hpp"
#include "engine/synth/source.hpp"
#include "ktx/plan.hpp"
#include "placement/suggest.hpp"

namespace ktx {

namespace {

/// As a rules file names it wherever that is put: its relative paths are beside itself.
std::string lasting_name(const std::filesystem::path& model) {
  if (engine::is_synthetic(model)) return model.string();
  return std::filesystem::absolute(model).lexically_normal().string();
}

}  // namespace

std::string suggest_rules(const SuggestOptions& options) {
  const auto goal = placement::find_goal(options.goal);
  if (!goal)
    throw_input("no such goal: '" + options.goal + "'", "--goal",
                {"goals: decode, prefill, balanced"});
  const auto vram = base::parse_bytes(options.vram);
  if (!options.vram.empty() && vram.value_or(0) == 0)
    throw_input("expected a size such as 14GiB, found '" + options.vram + "'", "--vram");
  const auto source = engine::open_source(options.model, {.header_only = true});
  engine::RunMemory run_memory(*source);
  placement::SuggestOptions asked{.model = lasting_name(options.model),
                                  .context = options.context,
                                  .sessions = options.sessions,
                                  .goal = *goal,
                                  .vram = vram,
                                  .run_memory = std::ref(run_memory)};
  const auto machine = options.machine.empty() ? engine::measured_machine()
                                               : engine::described_machine(options.machine);
  return placement::suggest_rules(engine::build_model(*source), machine, asked);
}

}  // namespace ktx
