// Predictions from the figures of a machine.
#include "placement/prediction.hpp"

#include "catch.hpp"
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
  auto machine = sample::machine_with_gpus(1);
  machine.read_bandwidth = 20e9;
  machine.tensor_flops = 1e12;
  machine.gpus[0].read_bandwidth = 1e12;
  machine.gpus[0].copy_bandwidth = 10e9;
  machine.gpus[0].tensor_flops = 100e12;
  return machine;
}

Plan plan_of(const std::string& lines, const hw::Machine& machine, int64_t prefill_chunk = 512) {
  return make_plan(sample::rule_list(lines), sample::deepseek(), machine,
                   {.prefill_chunk = prefill_chunk});
}

// Bytes read to decode a token of the routed experts, and of all else.
std::pair<double, double> reads(const Plan& plan) {
  double experts = 0, others = 0;
  for (const auto& planned : plan.modules)
    (plan.model.modules[static_cast<size_t>(planned.module)].op == "moe" ? experts : others) +=
        static_cast<double>(planned.bytes_per_token);
  return {experts, others};
}

constexpr double layer_weights = 32.0 * 3 * 256 * 256;  // of one layer's experts

}  // namespace

TEST_CASE("decoding: CPU and GPU one after the other, at their bandwidths") {
  const auto plan = plan_of(streamed + rest, known_machine());
  const auto [experts, others] = reads(plan);
  CHECK(plan.predicted_decode == Approx(1 / (experts / 20e9 + others / 1e12)));
  auto unknown = known_machine();
  unknown.gpus[0].read_bandwidth = 0;
  CHECK(plan_of(streamed + rest, unknown).predicted_decode == Approx(20e9 / experts));
  unknown.read_bandwidth = 0;
  CHECK(plan_of(streamed + rest, unknown).predicted_decode == 0);
}

TEST_CASE("decoding: residents run while the CPU reads the others") {
  const auto with = [](int count, double gpu_bandwidth) {
    auto machine = known_machine();
    machine.gpus[0].read_bandwidth = gpu_bandwidth;
    return plan_of("  - {name: experts, match: {class: moe.experts}, place: {experts: {resident: " +
                       std::to_string(count) + ", on: 'cuda:0'}}}\n" + rest,
                   machine);
  };
  const auto [experts, others] = reads(with(8, 1e12));
  CHECK(with(8, 1e12).predicted_decode ==
        Approx(1 / (0.75 * experts / 20e9 + others / 1e12)).epsilon(1e-6));
  CHECK(with(24, 1e9).predicted_decode ==  // the slower of the two
        Approx(1 / (0.75 * experts / 1e9 + others / 1e9)).epsilon(1e-6));
}

TEST_CASE("prompts: CPU and GPU share the experts so that both finish together") {
  // A slice of so many tokens: 2 FLOP a weight and token, a fourth of the experts each.
  const auto flops = [](double tokens) { return 2 * layer_weights / 4 * tokens; };
  const double bytes = 2 * layer_weights;
  const auto check = [&](const hw::Machine& machine, int64_t tokens, double cpu,
                         double streamed_s) {
    const auto plan = plan_of(streamed + rest, machine, tokens);
    for (const auto& planned : plan.modules)
      if (planned.stream) CHECK(planned.stream_share == Approx(cpu / (cpu + streamed_s)));
    const double seconds = 3 * cpu * streamed_s / (cpu + streamed_s);
    CHECK(plan.predicted_prefill == Approx(static_cast<double>(tokens) / seconds));
  };
  const auto machine = known_machine();
  check(machine, 8, bytes / 20e9, bytes / 10e9);           // both read
  check(machine, 8192, flops(8192) / 1e12, bytes / 10e9);  // the CPU multiplies longer
  auto slow = machine;
  slow.gpus[0].tensor_flops = 2e12;
  check(slow, 8192, flops(8192) / 1e12, flops(8192) / 2e12);
}

TEST_CASE("prompts: residents are the GPU's work besides") {
  auto machine = known_machine();
  machine.gpus[0].tensor_flops = 2e12;
  const auto with = [&](int count, const std::string& prefill) {
    return plan_of("  - {name: experts, match: {class: moe.experts}, place: {experts: {resident: " +
                       std::to_string(count) + ", on: 'cuda:0'}}" + prefill + "}\n" + rest,
                   machine, 8192);
  };
  const double cpu = 2 * layer_weights / 4 * 8192 / 1e12, gpu = cpu / 2;
  // Half of the experts, and s of the other half: (1 + s) / 2 * gpu = (1 - s) / 2 * cpu.
  const auto streaming = with(16, ", prefill: {device: 'cuda:0', stream: yes}");
  const double share = (cpu - gpu) / (cpu + gpu);
  for (const auto& planned : streaming.modules)
    if (planned.stream) CHECK(planned.stream_share == Approx(share));
  CHECK(streaming.predicted_prefill == Approx(8192 / (3 * (1 - share) / 2 * cpu)));
  CHECK(with(16, "").predicted_prefill == Approx(8192 / (3 * cpu / 2)));
  // The GPU has more than its part already.
  const auto full = with(30, ", prefill: {device: 'cuda:0', stream: yes}");
  CHECK(full.predicted_prefill == Approx(8192 / (3 * gpu * 30 / 32)));
}

TEST_CASE("prompts are not predicted where a figure is missing") {
  CHECK(plan_of(streamed + rest, known_machine()).predicted_prefill > 0);
  auto machine = known_machine();
  machine.gpus[0].copy_bandwidth = 0;
  CHECK(plan_of(streamed + rest, machine).predicted_prefill == 0);
  machine = known_machine();
  machine.gpus[0].tensor_flops = 0;
  CHECK(plan_of(streamed + rest, machine).predicted_prefill == 0);
  machine = known_machine();
  machine.tensor_flops = 0;
  CHECK(plan_of(streamed + rest, machine).predicted_prefill == 0);
  // The CPU does nothing of a prompt whose experts are copied to the GPU.
  const std::string copied =
      "  - {name: experts, match: {class: moe.experts}, place: {}, prefill: {device: 'cuda:0'}}\n";
  CHECK(plan_of(copied + rest, machine).predicted_prefill > 0);
}
