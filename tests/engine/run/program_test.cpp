// Programs of one and of several places: the same numbers, whatever crosses.
// covers: commands, commands_attention, commands_experts, executor, workspace
#include "engine/run/program.hpp"

#include <numeric>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "engine/access.hpp"
#include "engine/run/commands_internal.hpp"
#include "engine/run/executor.hpp"
#include "engine/run/workspace.hpp"
#include "engine/source.hpp"
#include "ktx/plan.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;
using namespace ktx::engine;

namespace {

/// The shipped model, loaded once.
struct Loaded {
  Loaded()
      : plan(make_plan({.model = test::shipped_model,
                        .rules = test::source_dir / "optimize_rules/cpu.yaml",
                        .threads = 2,
                        .cache_length = 256,
                        .sessions = 3})),
        pool(2),
        weights(engine::Access::details(plan), *engine::Access::source(plan), pool, {}) {}

  const placement::Plan& details() const { return engine::Access::details(plan); }
  Plan plan;
  hw::WorkerPool pool;
  Weights weights;
};

Loaded& loaded() {
  static Loaded once;
  return once;
}

std::vector<int32_t> some_ids(int64_t count, int32_t first) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = (first + static_cast<int32_t>(i) * 37) % 4096;
  return ids;
}

/// Prompts, one a sequence, in one batch; then a token each in another: logits of all last rows.
std::vector<float> logits(const Program& program, const std::vector<std::vector<int32_t>>& prompts,
                          int experts = 0) {
  auto& model = loaded();
  const auto& plan = model.details();
  KvStore cache(plan.model.info.caches, plan.cache_format, plan.cache_pages, plan.machine);
  Workspace workspace(program, plan.machine);
  std::vector<KvSequence> sequences;
  std::vector<float> out;
  for (const Phase phase : {Phase::prefill, Phase::decode}) {
    Batch batch;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto ids = phase == Phase::prefill ? prompts[i] : std::vector<int32_t>{7};
      if (phase == Phase::prefill) sequences.emplace_back(cache);
      REQUIRE(sequences[i].reserve(sequences[i].tokens() + static_cast<int64_t>(ids.size())));
      batch.sequences.push_back({.phase = phase,
                                 .first_row = batch.rows(),
                                 .rows = static_cast<int64_t>(ids.size()),
                                 .past = sequences[i].tokens(),
                                 .pages = sequences[i].pages(),
                                 .experts_per_token = experts});
      batch.ids.insert(batch.ids.end(), ids.begin(), ids.end());
      batch.logit_rows.push_back(static_cast<int32_t>(batch.rows() - 1));
    }
    Step step(program, batch, workspace, cache, model.pool);
    while (!step.finished()) step.advance();
    const auto rows = static_cast<int64_t>(batch.logit_rows.size());
    const float* numbers = step.logits(0, rows);
    out.insert(out.end(), numbers, numbers + rows * program.logits().width);
    for (size_t i = 0; i < prompts.size(); ++i) sequences[i].append(batch.sequences[i].rows);
  }
  return out;
}

using Places = std::vector<std::vector<int>>;

/// Modules on two places: routed experts on the second, or everything in turns.
Places experts_elsewhere(const graph::Model& model) {
  Places places;
  for (const auto& module : model.modules) places.push_back({module.op == "moe" ? 1 : 0});
  return places;
}
Places in_turns(const graph::Model& model) {
  Places places;
  for (size_t m = 0; m < model.modules.size(); ++m) places.push_back({static_cast<int>(m % 2)});
  return places;
}

}  // namespace

TEST_CASE("a program has a stage for each layer, and a tail") {
  const Program program(loaded().details(), loaded().weights);
  CHECK(program.layers().size() == 4);
  for (const auto& layer : program.layers()) CHECK(layer.size() > 5);
  CHECK(program.tail().size() == 3);  // last_rows, norm, head
  CHECK(program.max_rows() == loaded().details().prefill_chunk);
  CHECK(program.places().size() == 1);
}

TEST_CASE("routers and norms take the kernel of decode: in steps of up to 8 rows") {
  const auto file = test::own_file("decode.yaml");
  base::write_file(file,
                   "ktx: 1\nrules:\n"
                   "  - {name: n, match: {name: 'norm$'}, place: {}, decode: {op: rms_norm.ref}}\n"
                   "  - {name: r, match: {name: 'gate$'}, place: {}, decode: {op: router.ref}}\n"
                   "  - {name: rest, match: {name: '.*'}, place: {}}\n");
  const auto plan = make_plan({.model = test::shipped_model, .rules = file});
  CommandContext context;
  context.plan = &engine::Access::details(plan);
  const auto* const decode = ops::f32::find_kernel("ref");
  const auto* const prefill = &ops::f32::best_kernel(context.plan->machine.isa);
  REQUIRE(decode != prefill);
  int found = 0;
  for (const auto& node : context.plan->model.graph.nodes) {
    if (node.op != graph::Op::router && node.op != graph::Op::rms_norm) continue;
    const Loops loops(context, node);
    for (const int64_t rows : {1, 2, 8}) CHECK(loops.of({}, rows) == decode);
    for (const int64_t rows : {9, 512}) CHECK(loops.of({}, rows) == prefill);
    CHECK(loops.of({.decode_kernels = true}, 512) == decode);
    ++found;
  }
  CHECK(found > 5);
  std::filesystem::remove(file);
}

TEST_CASE("on two places the numbers are those of one") {
  const auto& plan = loaded().details();
  const std::vector<std::vector<int32_t>> prompts{some_ids(20, 5), some_ids(1, 9), some_ids(70, 1)};
  const auto expected = logits(Program(plan, loaded().weights), prompts);
  for (const auto& of_module : {experts_elsewhere(plan.model), in_turns(plan.model)}) {
    const Program program(
        plan, loaded().weights,
        {.modules = {.places = {device::Place{}, device::Place{}}, .of_module = of_module}});
    CHECK(program.value_bytes()[1] > 0);
    CHECK(logits(program, prompts) == expected);
  }
}

TEST_CASE("experts on two places at once give the sum of one, wherever each is") {
  const auto& plan = loaded().details();
  const std::vector<std::vector<int32_t>> prompts{some_ids(20, 5), some_ids(3, 9)};
  const auto expected = logits(Program(plan, loaded().weights), prompts);
  const size_t modules = plan.model.modules.size();
  // Every third expert on the first place. Both places read the same weights: slots are numbers.
  std::vector<int32_t> here(32), there(32);
  for (int32_t e = 0; e < 32; ++e) {
    here[static_cast<size_t>(e)] = e % 3 == 0 ? e : -1;
    there[static_cast<size_t>(e)] = e % 3 == 0 ? -1 : e;
  }
  Places places;
  for (const auto& module : plan.model.modules)
    places.push_back(module.op == "moe" ? std::vector<int>{0, 1} : std::vector<int>{0});
  const Program program(
      plan, loaded().weights,
      {.modules = {.places = {device::Place{}, device::Place{}}, .of_module = places},
       .slots = {std::vector<const int32_t*>(modules, here.data()),
                 std::vector<const int32_t*>(modules, there.data())}});
  // The experts' sums differ in the last bits; where attention rounds to bf16, at most as far as
  // two such roundings (tests/ops/attention/attention_kernels.hpp).
  constexpr double allowed = 0.015;
  CHECK(test::relative_error(logits(program, prompts), expected) < allowed);
  // Another split of the same program, between two steps: slots are read at every step.
  std::swap(here, there);
  CHECK(test::relative_error(logits(program, prompts), expected) < allowed);
  std::ranges::fill(here, -1);
  CHECK(test::relative_error(logits(program, prompts), expected) > 1e-2);
}

TEST_CASE("a step can be suspended while another one runs") {
  auto& model = loaded();
  const auto& plan = model.details();
  const Program program(plan, model.weights);
  KvStore cache(plan.model.info.caches, plan.cache_format, plan.cache_pages, plan.machine);
  Workspace first(program, plan.machine), second(program, plan.machine);
  KvSequence a(cache), b(cache);
  REQUIRE(a.reserve(40));
  REQUIRE(b.reserve(10));
  const auto batch_of = [](const std::vector<int32_t>& ids, const KvSequence& sequence) {
    Batch batch{.ids = ids};
    batch.sequences = {{.rows = batch.rows(), .pages = sequence.pages()}};
    batch.logit_rows = {static_cast<int32_t>(batch.rows() - 1)};
    return batch;
  };
  const Batch long_one = batch_of(some_ids(40, 5), a), short_one = batch_of(some_ids(10, 9), b);
  const auto run = [&](const Batch& batch, Workspace& workspace, const auto& between) {
    Step step(program, batch, workspace, cache, model.pool);
    for (; !step.finished(); step.advance()) between();
    const float* numbers = step.logits(0, 1);
    return std::vector<float>(numbers, numbers + program.logits().width);
  };
  const auto nothing = [] {};
  const auto expected_short = run(short_one, second, nothing);
  const auto expected_long = run(long_one, first, nothing);
  int times = 0;
  const auto interleaved = run(long_one, first, [&] {
    CHECK(run(short_one, second, nothing) == expected_short);
    ++times;
  });
  CHECK(times == 4);
  CHECK(interleaved == expected_long);
}

TEST_CASE("a step whose GPU does not answer goes no further, and the next one begins anew") {
  auto& model = loaded();
  const auto& plan = model.details();
  const Program program(plan, model.weights);
  KvStore cache(plan.model.info.caches, plan.cache_format, plan.cache_pages, plan.machine);
  Workspace workspace(program, plan.machine);
  KvSequence sequence(cache);
  REQUIRE(sequence.reserve(10));
  Batch batch{.ids = some_ids(10, 5)};
  batch.sequences = {{.rows = batch.rows(), .pages = sequence.pages()}};
  batch.logit_rows = {static_cast<int32_t>(batch.rows() - 1)};
  const auto logits_of = [&](Step& step) {
    const float* numbers = step.logits(0, 1);
    return std::vector<float>(numbers, numbers + program.logits().width);
  };
  Step whole(program, batch, workspace, cache, model.pool);
  while (!whole.finished()) whole.advance();
  const auto expected = logits_of(whole);

  const Batch other{
      .ids = {7}, .sequences = {{.rows = 1, .pages = sequence.pages()}}, .logit_rows = {0}};
  Step failing(program, other, workspace, cache, model.pool);
  failing.advance();
  CHECK_FALSE(failing.finished());
  workspace.failed = true;  // as a command of a GPU says it
  CHECK(failing.finished());
  CHECK(failing.failed());
  failing.advance();
  CHECK(logits_of(failing) == expected);  // nothing ran: they are the step's before

  Step again(program, batch, workspace, cache, model.pool);
  CHECK_FALSE(again.failed());
  while (!again.finished()) again.advance();
  CHECK(logits_of(again) == expected);
}

TEST_CASE("experts a token are data of the batch") {
  const auto plan_of = [](std::optional<int> experts) {
    return make_plan({.model = test::shipped_model,
                      .rules = test::source_dir / "optimize_rules/cpu.yaml",
                      .experts_per_token = experts,
                      .threads = 2,
                      .cache_length = 256,
                      .sessions = 3});
  };
  const std::vector<std::vector<int32_t>> prompts{some_ids(20, 5), some_ids(3, 9)};
  const Program eight(loaded().details(), loaded().weights);
  for (const int experts : {6, 2}) {
    const auto plan = plan_of(experts);
    const Program planned(engine::Access::details(plan), loaded().weights);
    CHECK(logits(eight, prompts, experts) == logits(planned, prompts));
  }
  CHECK(logits(eight, prompts, 6) != logits(eight, prompts));
}
