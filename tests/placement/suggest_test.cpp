// Suggested rules: what they place where, and that they hold.
// covers: candidate, search
#include "placement/suggest.hpp"

#include <algorithm>
#include <set>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "placement/candidate.hpp"
#include "placement/rules.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

constexpr uint64_t mib = uint64_t{1} << 20, gib = 1024 * mib;

hw::Machine known_machine(int gpus, int nodes = 1) {
  return sample::with_speeds(gpus > 0 ? sample::machine_with_gpus(gpus)
                                      : sample::machine(hw::Isa::avx2, nodes));
}

std::string suggest(const hw::Machine& machine, const SuggestOptions& options = {},
                    quant::Format format = quant::Format::q4_k) {
  sample::DeepSeek shape;
  shape.matrices = shape.down = format;
  shape.q_lora = 256;
  shape.expert_width = 512;  // a part of 256 rows for each of two nodes
  auto asked = options;
  asked.model = "model.gguf";
  return suggest_rules(sample::deepseek(shape), machine, asked);
}

/// The plan of the suggested rules.
Plan plan_of(const std::string& text, const hw::Machine& machine) {
  sample::DeepSeek shape;
  shape.matrices = shape.down = quant::Format::q4_k;
  shape.q_lora = 256;
  shape.expert_width = 512;  // a part of 256 rows for each of two nodes
  return make_plan(parse_rules(base::parse_yaml(text, "s.yaml"), "s.yaml"), sample::deepseek(shape),
                   machine, {});
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a box without a GPU runs everything on its CPU") {
  const auto text = suggest(known_machine(0));
  INFO(text);
  CHECK(has(text, "# Everything on the CPU."));
  CHECK_FALSE(has(text, "cuda"));
  CHECK_FALSE(has(text, "numa"));
  CHECK(plan_of(text, known_machine(0)).devices.size() == 1);
}

TEST_CASE("a model that fits its GPUs runs there, on as few as hold it") {
  const auto machine = known_machine(2);
  const auto one = suggest(machine);
  CHECK(has(one, "# Everything on 1 of the GPUs."));
  CHECK(has(one, "place: {device: 'cuda:0'}"));
  const auto most = plan_of(one, machine).find_device("cuda:0")->most();
  const auto text = suggest(machine, {.vram = most - mib});
  INFO(text);
  CHECK(has(text, "# Everything on the GPUs."));
  CHECK(has(text, "device: ['cuda:0', 'cuda:1'], spread: layers"));
  const auto plan = plan_of(text, machine);
  for (const auto& planned : plan.modules) CHECK(planned.device != "cpu");
}

TEST_CASE("GPUs that are too weak stay out, whatever their numbers") {
  auto machine = known_machine(2);
  const auto all = plan_of(suggest(machine), machine).find_device("cuda:0")->most();
  machine.gpus[0].memory_bytes = 700 * mib;
  const auto whole = suggest(machine);
  INFO(whole);
  CHECK(has(whole, "# Everything on 1 of the GPUs."));
  CHECK(has(whole, "# Unused: cuda:0, nothing that fits is faster with it."));
  CHECK(has(whole, "place: {device: 'cuda:1'}"));
  machine.gpus[0].memory_bytes = 100 * mib;  // not even the driver's
  const auto shared = suggest(machine, {.vram = all - 2 * mib});
  INFO(shared);
  CHECK(has(shared, "# Routed experts on the CPU"));
  CHECK(has(shared, "place: {device: 'cuda:1'}"));
  CHECK_FALSE(has(shared, "'cuda:0'"));
}

TEST_CASE("deferral is named where a token has experts enough that one has little weight") {
  auto machine = known_machine(1);
  machine.read_bandwidth = 1e9;
  machine.gpus[0].read_bandwidth = 2e9;
  const auto all = plan_of(suggest(machine), machine).find_device("cuda:0")->most();
  for (const int experts : {1, 4}) {
    sample::DeepSeek shape;
    shape.q_lora = 256;
    shape.expert_width = 512;
    shape.top_k = experts;
    const auto text =
        suggest_rules(sample::deepseek(shape), machine, {.model = "model.gguf", .vram = all});
    INFO(text);
    CHECK(has(text, "# Routed experts on the CPU"));
    CHECK(has(text, "defer: 1 in the place of the routed experts") == (experts >= 4));
  }
}

TEST_CASE("GPUs that kernels can't run on stay out, and nothing need be known of them") {
  auto machine = known_machine(2);
  machine.gpus[0] = {.name = "GTX 1080", .memory_bytes = 8 * gib, .capability = 61};
  const auto text = suggest(machine);
  INFO(text);
  CHECK(has(text, "place: {device: 'cuda:1'}"));
  CHECK(has(text, "# Unused: cuda:0, the GTX 1080 has compute capability 6.1, kernels need 8.0."));
  machine.gpus.pop_back();
  CHECK(has(suggest(machine), "# Everything on the CPU."));
}

TEST_CASE("an embedding that a GPU can't read is on the CPU, all else on the GPU") {
  const auto machine = known_machine(1);
  auto model = sample::deepseek();
  std::ranges::find(model.modules, "embedding", &graph::Module::op)->weights.front().source =
      quant::Format::q2_k;
  const auto text = suggest_rules(model, machine, {.model = "m.gguf"});
  INFO(text);
  CHECK(has(text,
            "# Everything but the embedding on the GPU: embedding.cuda reads no rows of q2_k."));
  const auto plan = make_plan(sample::rules(text), model, machine, {});
  for (const auto& planned : plan.modules)
    CHECK(planned.device == (plan.module_of(planned).op == "embedding" ? "cpu" : "cuda:0"));
}

TEST_CASE("a GPU that is too small for the usual slices gets smaller ones") {
  const auto machine = known_machine(1);
  const auto with = [&](std::optional<uint64_t> vram) {
    return suggest(machine,
                   {.vram = vram, .run_memory = [](const Plan& plan) {
                      const auto rows = static_cast<uint64_t>(plan.prefill_chunk);
                      return std::vector<DeviceMemory>{
                          {.device = plan.devices.back().device, .activations = rows * mib / 4}};
                    }});
  };
  const auto text = with(900 * mib);
  INFO(text);
  CHECK(has(text, "prefill_chunk: 512\n"));
  CHECK(has(text, "on the GPU."));
}

TEST_CASE("a GPU too small for the experts gets everything else, and prompts share them") {
  const auto machine = known_machine(1);
  const auto all = plan_of(suggest(machine), machine).find_device("cuda:0")->most();
  // Less than all of it, but more than what is not experts.
  const auto text = suggest(machine, {.vram = all - 2 * mib});
  INFO(text);
  CHECK(has(text, "device: cpu"));
  const auto plan = plan_of(text, machine);
  bool on_cpu = false;
  for (const auto& planned : plan.modules)
    on_cpu |= plan.model.modules[static_cast<size_t>(planned.module)].op == "moe" &&
              planned.device == "cpu";
  CHECK(on_cpu);
  CHECK(plan.find_device("cuda:0")->most() <= all - 2 * mib);
}

TEST_CASE("experts pass through a GPU only where that is worth it") {
  auto machine = known_machine(1);
  const auto all = plan_of(suggest(machine), machine).find_device("cuda:0")->most();
  machine.tensor_flops = 1e10;  // much is left to the GPUs
  CHECK(has(suggest(machine, {.vram = all - mib}), "stream: yes"));
  machine.tensor_flops = 1e15;
  machine.read_while_copying = machine.read_bandwidth / 2;
  for (auto& gpu : machine.gpus) gpu.copy_bandwidth = 1e9;
  const auto text = suggest(machine, {.vram = all - mib});
  INFO(text);
  CHECK(has(text, "# Routed experts on the CPU; attention"));
  CHECK_FALSE(has(text, "stream"));
  CHECK_FALSE(has(text, "pass through"));
}

TEST_CASE("experts that stay on GPUs need no stream") {
  const auto machine = known_machine(2);
  const auto text = rules_text({.experts = Experts::resident, .gpus = {0, 1}}, sample::deepseek(),
                               machine, {.model = "model.gguf"});
  INFO(text);
  CHECK_FALSE(has(text, "stream"));
  std::set<std::string> devices;
  for (const auto& planned : plan_of(text, machine).modules)
    if (!planned.residents.experts.empty()) devices.insert(planned.residents.device);
  CHECK(devices == std::set<std::string>{"cuda:0", "cuda:1"});
}

TEST_CASE("the context is no longer than the model was trained for, and what is compared fits it") {
  auto model = sample::deepseek();
  const auto with = [&](int64_t trained, Goal goal) {
    model.info.context = trained;
    return suggest_rules(model, known_machine(0), {.model = "m.gguf", .goal = goal});
  };
  CHECK(has(with(4096, Goal::balanced), "\ncontext: 4096\n"));
  CHECK(has(with(4096, Goal::balanced),
            "# Context: 4096 tokens, the model was trained for no more."));
  CHECK(has(with(4096, Goal::balanced), "prompts of 2048 tokens, answers of 512."));
  CHECK(has(with(1290, Goal::prefill), "prompts of 1280 tokens, answers of 10."));
  CHECK(has(with(1, Goal::balanced), "prompts of 1 tokens, answers of 0."));
  CHECK(has(with(1 << 20, Goal::balanced), "\ncontext: 8192\n"));
  CHECK_FALSE(has(with(1 << 20, Goal::balanced), "# Context"));
}

TEST_CASE("linear layers of a model without experts get as many bits as fit") {
  sample::DeepSeek shape;
  shape.dense = shape.layers;
  shape.experts = 0;
  const auto model = sample::deepseek(shape);  // of floats
  const auto text = suggest_rules(model, known_machine(0), {.model = "m", .context = 512});
  INFO(text);
  CHECK(has(text, "# Quantized while loading: linear layers to int8.\n"));
  CHECK(has(text, "linear layers in int4/64, at some loss: "));
  CHECK(has(text, "match: {class: linear}\n    place: {device: cpu, format: int8}"));
  CHECK_FALSE(has(text, "experts"));
}

TEST_CASE("some memory stays free") {
  auto machine = known_machine(0);
  const auto needed = plan_of(suggest(machine), machine).find_device("cpu")->most();
  machine.nodes[0].memory_bytes = needed + mib;
  const auto text = suggest(machine, {.context = 4096});
  CHECK(has(text, "prefill_chunk"));
  CHECK(plan_of(text, machine).find_device("cpu")->most() * 16 <= 15 * (needed + mib));
}

TEST_CASE("comments say what is quantized, and why a GPU that has room does not run all") {
  CHECK(has(suggest(known_machine(1), {}, quant::Format::bf16),
            "# Quantized while loading: routed experts to int8, other linear layers to int8.\n"));
  CHECK_FALSE(has(suggest(known_machine(1)), "# Quantized"));
  CHECK_FALSE(has(suggest(known_machine(1)), "A GPU can't run"));
  const auto text = suggest(known_machine(1), {}, quant::Format::iq2_s);
  INFO(text);
  CHECK(has(text, "# A GPU can't run all of it: moe.cuda reads no experts in iq2_s.\n"));
}

TEST_CASE("nodes get copies where memory suffices, else parts") {
  CHECK(has(suggest(known_machine(0, 2)), "numa: replicate"));
  auto machine = known_machine(0, 2);
  const auto plan = plan_of(suggest(machine), machine);
  for (auto& node : machine.nodes) node.memory_bytes = plan.devices[0].most() * 2 / 5;
  const auto text = suggest(machine);
  INFO(text);
  CHECK(has(text, "numa: shard"));
}

TEST_CASE("experts of a checkpoint that is not quantized get as many bits as fit") {
  auto machine = known_machine(0);
  const auto text = suggest(machine, {}, quant::Format::bf16);
  INFO(text);
  CHECK(has(text, "class: moe.experts}\n    place: {device: cpu, format: int8}"));
  CHECK(has(text, "experts in int4/64, at some loss"));
}

TEST_CASE(
    "linear layers of a checkpoint that is not quantized are, as far as a GPU's memory asks") {
  auto machine = known_machine(1);
  machine.nodes[0].memory_bytes = 64 * mib;
  const auto with = [&](uint64_t vram) {
    return suggest(machine, {.context = 512, .vram = vram}, quant::Format::bf16);
  };
  const auto text = with(24 * gib);
  INFO(text);
  CHECK(has(text, "match: {class: linear}\n    place: {device: 'cuda:0', format: int8}"));
  CHECK_FALSE(has(text, "class: head"));
  // The driver's 600 MiB, and too little besides.
  uint64_t vram = 680 * mib;
  while (vram > 600 * mib && !has(with(vram), "format: int4/64")) vram -= mib / 4;
  const auto small = with(vram);
  INFO(small);
  CHECK(has(small, "match: {class: linear}\n    place: {device: 'cuda:0', format: int4/64}"));
  CHECK(has(small, "match: {class: head}\n    place: {device: 'cuda:0', format: int8}"));
}

TEST_CASE("what does not fit is an error that says what it needs") {
  auto machine = known_machine(0);
  machine.nodes[0].memory_bytes = mib;
  const auto error = test::failure([&] { suggest(machine); });
  CHECK(has(error, "no placement of this model fits the machine"));
  CHECK(has(error, "Everything on the CPU. Needs "));
  CHECK(has(error, "the machine has 1.00 MiB of memory"));
}

TEST_CASE("what does not fit is compared with the placement that takes least memory") {
  auto machine = known_machine(1);
  machine.nodes[0].memory_bytes = 4 * mib;
  const auto all = plan_of(suggest(known_machine(1)), known_machine(1));
  const uint64_t vram = all.find_device("cuda:0")->most() - 2 * mib;
  const auto error = test::failure([&] { suggest(machine, {.vram = vram}); });
  INFO(error);
  CHECK(has(error, "Routed experts on the CPU"));
  CHECK(has(error, " of cuda:0.\n"));
}

TEST_CASE("any name of a model stays what it is") {
  SuggestOptions options{.model = "/it's/a: model.gguf"};
  const auto text = suggest_rules(sample::deepseek(), known_machine(0), options);
  const auto rules = parse_rules(base::parse_yaml(text, "s.yaml"), "s.yaml");
  CHECK(rules.model.path->value == options.model);
}

TEST_CASE("a machine whose speeds are not known can't be judged") {
  const auto error = test::failure([] { suggest(sample::machine_with_gpus(1)); });
  CHECK(has(error, "read_bandwidth, tensor_flops"));
  CHECK(has(error, "ktx-plan --detect"));
}

TEST_CASE("the settings asked for are the file's") {
  const auto text = suggest(known_machine(0), {.context = 2048, .sessions = 3});
  CHECK(has(text, "context: 2048\nsessions: 3\n"));
  CHECK(has(suggest(known_machine(0), {.context = 512}), "tokens/s behind 511 tokens"));
  CHECK(find_goal("prefill") == Goal::prefill);
  CHECK_FALSE(find_goal("speed"));
}
