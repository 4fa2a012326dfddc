// Predictions from the figures of a machine.
#include "placement/prediction.hpp"

#include <algorithm>

#include "catch.hpp"
#include "ops/kernels.hpp"
#include "placement/expert_load.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

const std::string rest = "  - {name: rest, match: {name: '.*'}, place: {device: 'cuda:0'}}\n";
const std::string streamed =
    "  - {name: experts, match: {class: moe.experts}, place: {}, "
    "prefill: {device: 'cuda:0', stream: yes}}\n";

hw::Machine known_machine() {
  return sample::with_speeds(sample::machine_with_gpus(1));
}

Plan plan_of(const std::string& lines, const hw::Machine& machine, int64_t prefill_chunk = 512) {
  return make_plan(sample::rule_list(lines), sample::deepseek(), machine,
                   {.cache_length = 8192, .prefill_chunk = prefill_chunk});
}

const ops::Efficiency& efficiency(graph::Op op, const std::string& kernel) {
  return ops::find_kernel(op, kernel)->efficiency;
}

struct Found {
  const PlannedModule& planned;
  ModuleTime time;
};

Found find(const Plan& plan, const StepTime& step, const std::string& path) {
  for (size_t i = 0; i < plan.modules.size(); ++i)
    if (plan.model.modules[static_cast<size_t>(plan.modules[i].module)].path == path)
      return {plan.modules[i], step.modules[i]};
  throw std::runtime_error("no module " + path);
}

const std::string experts_of_2 = "model.layers.2.mlp.experts";
constexpr double layer_weights = 32.0 * 3 * 256 * 256;  // of one layer's experts, bf16
constexpr double bytes = 2 * layer_weights;
constexpr double copying = 25e9;     // bytes/s between the CPU's memory and a GPU
constexpr double crossing = 9.6e-6;  // plus two hidden states

double crossing_of(double rows) {
  return crossing + 2 * 4 * rows * 256 / copying;
}

}  // namespace

TEST_CASE("a module that decodes reads its weights, on the CPU and on a GPU") {
  const auto plan = plan_of(streamed + rest, known_machine());
  const auto step = step_time(plan, {});
  const auto [q_b, time] = find(plan, step, "model.layers.1.self_attn.q_b_proj");
  const auto& gpu = efficiency(graph::Op::linear, "cuda");
  CHECK(time.seconds == Approx(gpu.call + 2.0 * 768 * 128 / (gpu.read * 1e12)));
  CHECK(time.gpu == time.seconds);
  CHECK(time.cpu == 0);
  const auto [experts, of_experts] = find(plan, step, experts_of_2);
  const auto& cpu = efficiency(graph::Op::moe, experts.decode.name);
  const double reading = cpu.call + bytes / 4 / (cpu.read * 20e9);
  CHECK(of_experts.cpu == Approx(reading));
  CHECK(of_experts.seconds == Approx(reading + crossing_of(1)));
}

TEST_CASE("a step is the sum of its modules, but shared experts run beside routed ones") {
  const auto hybrid = plan_of(streamed + rest, known_machine());
  const auto sum = [](const Plan& plan, bool with_shared) {
    const auto step = step_time(plan, {});
    double seconds = 0;
    for (size_t i = 0; i < plan.modules.size(); ++i) {
      const auto& path = plan.model.modules[static_cast<size_t>(plan.modules[i].module)].path;
      if (with_shared || path.find("shared_experts") == std::string::npos)
        seconds += step.modules[i].seconds;
    }
    return seconds;
  };
  CHECK(step_time(hybrid, {}).seconds == Approx(sum(hybrid, false)));
  const auto cpu = plan_of("  - {name: all, match: {name: '.*'}, place: {}}\n", known_machine());
  CHECK(step_time(cpu, {}).seconds == Approx(sum(cpu, true)));
  CHECK(decode_rate(cpu, 0) == Approx(1 / sum(cpu, true)));
  CHECK(decode_rate(cpu, 4096) < decode_rate(cpu, 0));  // attention reads the cache
}

TEST_CASE("between layers on different GPUs the hidden state is copied") {
  auto machine = known_machine();
  machine.gpus.push_back(machine.gpus[0]);
  const auto layers = [](const std::string& range) {
    return "  - {name: '" + range + "', match: {layers: " + range +
           "}, place: {device: 'cuda:1'}}\n";
  };
  const auto more_than_one_gpu = [&](const std::string& rules, const StepShape& shape) {
    return step_time(plan_of(rules + rest, machine), shape).seconds -
           step_time(plan_of(rest, machine), shape).seconds;
  };
  const auto hop = [](double rows, double bandwidth) { return 10e-6 + rows * 4 * 256 / bandwidth; };
  // To the second GPU and back; through the CPU's memory.
  CHECK(more_than_one_gpu(layers("1-2"), {}) == Approx(2 * hop(1, copying / 2)));
  machine.gpus[0].peer_bandwidth = machine.gpus[1].peer_bandwidth = 20e9;
  CHECK(more_than_one_gpu(layers("1-2"), {}) == Approx(2 * hop(1, 20e9)));
  CHECK(more_than_one_gpu(layers("1-2"), {.rows = 512, .prefill = true}) ==
        Approx(2 * hop(512, 20e9)));
  // The tail has a row of logits only.
  CHECK(more_than_one_gpu(layers("2-3"), {.rows = 512, .prefill = true}) ==
        Approx(hop(512, 20e9) + hop(1, 20e9)));
}

TEST_CASE("without its memory's bandwidth nothing is predicted of a machine") {
  auto unknown = known_machine();
  unknown.gpus[0].read_bandwidth = 0;  // takes no time to read
  CHECK(plan_of(streamed + rest, unknown).predicted_decode >
        plan_of(streamed + rest, known_machine()).predicted_decode);
  unknown.read_bandwidth = 0;
  CHECK(plan_of(streamed + rest, unknown).predicted_decode == 0);
}

TEST_CASE("residents run while the CPU reads the others") {
  const auto time_with = [](const std::string& experts, double gpu_bandwidth) {
    auto machine = known_machine();
    machine.gpus[0].read_bandwidth = gpu_bandwidth;
    const auto plan = plan_of(
        "  - {name: experts, match: {class: moe.experts}, place: {" + experts + "}}\n" + rest,
        machine);
    return find(plan, step_time(plan, {}), experts_of_2).time;
  };
  const auto none = time_with("", 1e12),
             few = time_with("experts: {resident: 8, on: 'cuda:0'}", 1e12),
             most = time_with("experts: {resident: 24, on: 'cuda:0'}", 1e9);
  CHECK(few.cpu == Approx(0.75 * none.cpu));
  CHECK(few.seconds == Approx(few.cpu + crossing_of(1)));
  CHECK(most.gpu > most.cpu);
  CHECK(most.seconds == Approx(most.gpu + crossing_of(1)));
}

TEST_CASE("of a token's experts now more, now fewer are residents") {
  const auto time_with = [](double gpu_bandwidth) {
    auto machine = known_machine();
    machine.gpus[0].read_bandwidth = gpu_bandwidth;
    const auto plan = plan_of(
        "  - {name: experts, match: {class: moe.experts}, place: {experts: {resident: 16, on: "
        "'cuda:0'}}}\n" +
            rest,
        machine);
    return find(plan, step_time(plan, {}), experts_of_2).time;
  };
  const auto same = time_with(20e9);
  const double mean = slower_of_one_token(32, 8, 16, 2 * same.cpu, 2 * same.gpu);
  CHECK(same.seconds == Approx(mean + crossing_of(1)));
  CHECK(mean > 1.1 * std::max(same.cpu, same.gpu));
  const auto fast = time_with(1e15);
  CHECK(fast.seconds == Approx(fast.cpu + crossing_of(1)).epsilon(0.01));
}

TEST_CASE("a GPU runs shared experts before residents") {
  auto machine = known_machine();
  machine.gpus[0].read_bandwidth = 1e9;
  const auto plan = plan_of(
      "  - {name: experts, match: {class: moe.experts}, place: {experts: {resident: 24, on: "
      "'cuda:0'}}}\n" +
          rest,
      machine);
  const auto step = step_time(plan, {});
  double seconds = 0;
  for (size_t i = 0; i < plan.modules.size(); ++i) {
    const auto& module = plan.model.modules[static_cast<size_t>(plan.modules[i].module)];
    const auto& time = step.modules[i];
    CHECK((module.op != "moe" || time.gpu > 2 * time.cpu));
    seconds += module.op == "moe" ? time.gpu : time.seconds;
  }
  CHECK(step.seconds == Approx(seconds));
}

TEST_CASE("deferred experts take no time where a GPU takes longer for what follows") {
  const auto time_with = [](const std::string& defer, double gpu_bandwidth,
                            const std::string& rules = rest) {
    auto machine = known_machine();
    machine.gpus[0].read_bandwidth = gpu_bandwidth;
    const auto plan = plan_of(
        "  - {name: experts, match: {class: moe.experts}, place: {defer: " + defer + "}}\n" + rules,
        machine);
    return step_time(plan, {});
  };
  const auto sum = [](const StepTime& step, double ModuleTime::*part) {
    double seconds = 0;
    for (const auto& module : step.modules) seconds += module.*part;
    return seconds;
  };
  const auto all = time_with("0", 5e9), two = time_with("2", 5e9);
  const double deferred = sum(two, &ModuleTime::deferred);
  constexpr double call = 60e-6, calls = 2 * call;  // a second one of each layer but the last
  const double of_a_layer = sum(all, &ModuleTime::cpu) / 3;
  CHECK(deferred == Approx(2 * (call + 2 / 8.0 * (of_a_layer - call))));
  CHECK(two.seconds == Approx(all.seconds + calls - deferred));
  // Else the CPU does its work in any case.
  const double fast = time_with("2", 1e15).seconds;
  CHECK(fast > sum(all, &ModuleTime::cpu) + calls);
  CHECK(fast < time_with("0", 1e15).seconds + calls);
  const auto alone = [&](const std::string& defer) {
    return time_with(defer, 5e9, "  - {name: cpu, match: {name: '.*'}, place: {device: cpu}}\n")
        .seconds;
  };
  CHECK(alone("2") == Approx(alone("0") + calls));
  // A layer of the CPU's begins when it is done with what was deferred.
  const auto last = [&](const std::string& defer) {
    return time_with(
               defer, 1e15,
               "  - {name: last, match: {name: 'model.layers.2..*'}, place: {device: cpu}}\n" +
                   rest)
        .seconds;
  };
  CHECK(last("2") > last("0") + calls - crossing_of(1));
}

TEST_CASE("few rows wait for codebooks where threads decode slower than memory is read") {
  sample::DeepSeek shape;
  shape.matrices = shape.down = quant::Format::iq1_s;
  shape.q_lora = 256;
  const auto experts_with = [&](double bandwidth, int64_t rows) {
    auto machine = known_machine();
    machine.read_bandwidth = bandwidth;
    const auto plan =
        make_plan(sample::rule_list("  - {name: all, match: {name: '.*'}, place: {}}\n"),
                  sample::deepseek(shape), machine, {.threads = 2, .prefill_chunk = 512});
    return find(plan, step_time(plan, {.rows = rows, .prefill = rows > 1}), experts_of_2).time;
  };
  const auto& kernel = efficiency(graph::Op::moe, "avx2");
  const auto rate =
      std::ranges::find(kernel.decoding, quant::Format::iq1_s, &ops::DecodingRate::format);
  REQUIRE(rate != kernel.decoding.end());
  const double decoding = layer_weights / 4 / (2 * rate->weights);
  CHECK(experts_with(1e12, 1).cpu == Approx(kernel.call + decoding));
  // A layer whose blocks of 256 take 50 bytes, in groups of 16 rows a little more.
  const double reading = layer_weights / 4 * 50 / 256 / (kernel.read * 1e9);
  CHECK(experts_with(1e9, 1).cpu == Approx(kernel.call + reading).epsilon(0.05));
  CHECK(reading > decoding);
  CHECK(experts_with(1e12, 512).cpu < 128 * decoding);  // decoded once for many rows
}

TEST_CASE("fewer threads are slower: of prompts all, of decoding the decode threads") {
  auto machine = known_machine();
  machine.nodes[0].cores = 16;
  machine.read_bandwidth = 200e9;
  const auto with = [&](const PlanOptions& options) {
    return make_plan(sample::rule_list("  - {name: all, match: {name: '.*'}, place: {}}\n"),
                     sample::deepseek(), machine, options);
  };
  const auto all = with({}), some = with({.decode_threads = 1}), one = with({.threads = 1});
  CHECK(decode_rate(some, 0) < decode_rate(all, 0));
  CHECK(decode_rate(some, 0) == decode_rate(one, 0));
  CHECK(prefill_rate(some, 512) == prefill_rate(all, 512));
  CHECK(prefill_rate(one, 512) < prefill_rate(all, 512) / 8);
}

TEST_CASE("prompts: CPU and GPU share the experts so that both finish together") {
  const auto check = [&](const hw::Machine& machine, int64_t tokens, bool copies) {
    const auto plan = plan_of(streamed + rest, machine, tokens);
    const auto step = step_time(plan, {.rows = tokens, .prefill = true});
    const auto [planned, time] = find(plan, step, experts_of_2);
    CHECK(time.seconds == Approx(time.cpu + crossing_of(static_cast<double>(tokens))));
    // Of 16 of the 32 experts, or of all that are on their way.
    const double arrival = bytes / copying * std::min(16.0 / 32, planned.stream_share);
    CHECK(time.cpu == Approx((copies ? time.copied : time.gpu) + arrival));
    CHECK(planned.stream_share > 0);
    CHECK(planned.stream_share < 1);
    if (copies) CHECK(time.copied == Approx(planned.stream_share * bytes / copying));
  };
  const auto machine = known_machine();
  check(machine, 512, true);
  auto slow = machine;
  slow.gpus[0].tensor_flops = 2e12;
  check(slow, 8192, false);
}

TEST_CASE("prompts: copying and reading slow each other down, where that is known") {
  auto machine = known_machine();
  const auto alone = plan_of(streamed + rest, machine);
  machine.gpus[0].copy_while_reading = 5e9;
  const auto slower = plan_of(streamed + rest, machine);
  CHECK(prefill_rate(slower, 512) < prefill_rate(alone, 512));
  CHECK(decode_rate(slower, 0) == decode_rate(alone, 0));
}

TEST_CASE("prompts: no expert is streamed where that is no faster") {
  auto machine = known_machine();
  machine.gpus[0].copy_bandwidth = 1e9;
  machine.read_while_copying = machine.read_bandwidth / 2;
  machine.tensor_flops = 1e15;
  const auto time = [&](const std::string& rules) {
    const auto plan = plan_of(rules + rest, machine);
    const auto step = step_time(plan, {.rows = 512, .prefill = true});
    const auto [planned, found] = find(plan, step, experts_of_2);
    CHECK(planned.stream_share == 0);
    return found.seconds;
  };
  CHECK(time(streamed) == time("  - {name: experts, match: {class: moe.experts}, place: {}}\n"));
}

TEST_CASE("prompts: experts on the CPU are multiplied in whole tiles, each decoded once") {
  const auto time_of = [](hw::Isa isa, int64_t rows) {
    auto machine = known_machine();
    machine.isa = isa;
    sample::DeepSeek shape;
    shape.matrices = shape.down = quant::Format::q4_k;
    shape.q_lora = 256;
    const auto plan =
        make_plan(sample::rule_list("  - {name: all, match: {name: '.*'}, place: {}}\n"),
                  sample::deepseek(shape), machine, {.prefill_chunk = 512});
    const auto [planned, time] =
        find(plan, step_time(plan, {.rows = rows, .prefill = true}), experts_of_2);
    const auto& kernel = efficiency(graph::Op::moe, planned.prefill.name);
    return std::pair(time.cpu - kernel.call, kernel);
  };
  const auto [tiles, amx] = time_of(hw::Isa::amx_int8, 512);
  CHECK(amx.tile == 16);
  // 128 of 512 tokens an expert: 7.5 more to the next whole tile.
  CHECK(tiles == Approx(2 * layer_weights * (128 + 7.5 + amx.half_rows) / 1e12).epsilon(0.001));
  const auto [rows, vnni] = time_of(hw::Isa::avx512_vnni, 512);
  CHECK(vnni.tile == 1);
  CHECK(rows == Approx(2 * layer_weights * (128 + vnni.half_rows) / 1e12).epsilon(0.001));
}

TEST_CASE("prompts: residents are the GPU's work besides") {
  auto machine = known_machine();
  machine.gpus[0].tensor_flops = 30e12;
  const auto with = [&](int count, const std::string& prefill) {
    return plan_of("  - {name: experts, match: {class: moe.experts}, place: {experts: {resident: " +
                       std::to_string(count) + ", on: 'cuda:0'}}" + prefill + "}\n" + rest,
                   machine, 8192);
  };
  const auto time = [](const Plan& plan) {
    return find(plan, step_time(plan, {.rows = 8192, .prefill = true}), experts_of_2).time;
  };
  const auto streaming = time(with(16, ", prefill: {device: 'cuda:0', stream: yes}"));
  CHECK(streaming.seconds == Approx(streaming.cpu + crossing_of(8192)));
  CHECK(streaming.gpu > 0.9 * streaming.cpu);  // and the last experts arrive meanwhile
  const auto resident = time(with(16, ""));
  CHECK(resident.copied == 0);
  CHECK(resident.cpu > streaming.cpu);
  CHECK(resident.gpu < streaming.gpu);
  // The GPU has more than its part already.
  const auto full = with(31, ", prefill: {device: 'cuda:0', stream: yes}");
  CHECK(time(full).copied == 0);
  CHECK(time(full).gpu > time(full).cpu);
}

TEST_CASE("a prompt takes a step for each slice, and later ones attend to more") {
  const auto plan = plan_of(streamed + rest, known_machine(), 512);
  const double first = step_time(plan, {.rows = 512, .prefill = true}).seconds;
  const double second = step_time(plan, {.rows = 512, .past = 512, .prefill = true}).seconds;
  CHECK(second > first);
  CHECK(prefill_rate(plan, 512) == Approx(512 / first));
  CHECK(prefill_rate(plan, 1024) == Approx(1024 / (first + second)));
}

TEST_CASE("prompts are not predicted where a figure is missing") {
  CHECK(prefill_rate(plan_of(streamed + rest, known_machine()), 512) > 0);
  auto machine = known_machine();
  machine.gpus[0].copy_bandwidth = 0;
  CHECK(prefill_rate(plan_of(streamed + rest, machine), 512) == 0);
  machine = known_machine();
  machine.gpus[0].tensor_flops = 0;
  CHECK(prefill_rate(plan_of(streamed + rest, machine), 512) == 0);
  machine = known_machine();
  machine.tensor_flops = 0;
  CHECK(prefill_rate(plan_of(streamed + rest, machine), 512) == 0);
}
