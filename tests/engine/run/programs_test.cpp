// Plans for GPUs: whole models on a GPU alone, hybrid, streamed, with resident experts and on two
// GPUs have the logits of transformers and of the CPU.
// covers: cuda_commands, cuda_commands_attention, cuda_commands_copy, cuda_commands_experts
// covers: cuda_commands_stream, cuda_kit, devices, no_cuda, recording
#include "engine/run/programs.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <future>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "core/device/handshake.hpp"
#include "ktx/error.hpp"
#include "ktx/session.hpp"
#include "support/gpu.hpp"
#include "support/ktx_isa.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;
namespace fs = std::filesystem;

namespace {

// Placements of a whole model. Rules that match nothing are errors: those of experts are left out
// where there are none.
struct Placement {
  const char* name;
  std::string experts;  // place and phases of the routed experts; empty: as the rest
  std::string rest;
};
const Placement placements[] = {
    {"gpu alone", "", "place: {device: cuda:0}"},
    {"hybrid", "place: {device: cpu}", "place: {device: cuda:0}"},
    {"streamed", "place: {device: cpu}, prefill: {device: cuda:0, stream: yes}",
     "place: {device: cuda:0}"},
    {"resident", "place: {device: cpu, experts: {resident: 3, on: cuda:0}}",
     "place: {device: cuda:0}"},
    {"resident and streamed",
     "place: {device: cpu, experts: {resident: 3, on: cuda:0}}, prefill: {device: cuda:0, stream: "
     "yes}",
     "place: {device: cuda:0}"},
    {"attention on the CPU", "place: {device: cuda:0}", "place: {device: cpu}"},
    {"prompts on the GPU", "place: {device: cpu}, prefill: {device: cuda:0}",
     "place: {device: cuda:0}"},
};

fs::path rules_file(const Placement& placement, bool has_experts) {
  const auto file = test::own_file("programs_test.yaml");
  std::string text = "ktx: 1\nrules:\n";
  if (has_experts && !placement.experts.empty())
    text += "  - {name: experts, match: {class: moe.experts}, " + placement.experts + "}\n";
  base::write_file(file, text + "  - {name: rest, match: {name: '.*'}, " + placement.rest + "}\n");
  return file;
}

PlanOptions options_of(const fs::path& model, const Placement& placement, bool has_experts = true) {
  return {.model = model,
          .rules = rules_file(placement, has_experts),
          .threads = 2,
          .cache_length = 512,
          .sessions = 3};
}

Engine load(const fs::path& model, const Placement& placement, bool has_experts = true,
            const char* cache = "bf16") {
  auto options = options_of(model, placement, has_experts);
  options.cache_format = cache;
  return Engine(make_plan(options));
}

std::vector<float> logits(Engine& engine, std::span<const int32_t> ids, size_t at_once) {
  Session session(engine);
  std::vector<float> out;
  for (; !ids.empty(); ids = ids.subspan(std::min(at_once, ids.size())))
    session.evaluate(ids.first(std::min(at_once, ids.size())),
                     [&](int64_t, int64_t rows, const float* numbers) {
                       out.insert(out.end(), numbers, numbers + rows * engine.vocab_size());
                     });
  return out;
}

std::vector<int32_t> greedy(Engine& engine, const std::vector<int32_t>& prompt, int64_t count) {
  Session session(engine);
  return session.generate(prompt, {.max_new_tokens = count}).ids;
}

/// The same of rows whose logits are asked for one by one: all GPUs are waited for behind each.
std::vector<int32_t> greedy_by_rows(Engine& engine, const std::vector<int32_t>& prompt,
                                    int64_t count) {
  Session session(engine);
  std::vector<int32_t> ids;
  int32_t best = 0;
  const auto choose = [&](int64_t, int64_t rows, const float* numbers) {
    const std::span row(numbers + (rows - 1) * engine.vocab_size(),
                        static_cast<size_t>(engine.vocab_size()));
    best = static_cast<int32_t>(std::ranges::max_element(row) - row.begin());
  };
  session.evaluate(prompt, choose);
  for (; count > 0; --count) {
    ids.push_back(best);
    if (count > 1) session.evaluate({&best, 1}, choose);
  }
  return ids;
}

constexpr double tolerance = 1e-2;  // of bf16 inputs of products

// Of prompts in slices. In bf16 the first fixture has 0.016 on the CPU too; attention on the CPU is
// that of its own tiles.
double tolerance_of(const fs::path& folder, const Placement& placement) {
  const bool on_cpu = placement.rest.find("cpu") != std::string::npos;
  return folder.filename() == "qwen3-moe" || on_cpu ? 2 * tolerance : tolerance;
}

bool has_experts(const fs::path& folder) {
  return folder.filename() != "llama";
}

}  // namespace

TEST_CASE("cuda: every architecture in every placement has the logits of transformers") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  for (const auto& entry : fs::directory_iterator(test::data_dir / "arch"))
    for (const auto& placement : placements) {
      const auto& folder = entry.path();
      INFO(folder.filename().string() << ", " << placement.name);
      Engine engine = load(folder, placement, has_experts(folder));
      const test::Reference reference(folder / "reference.safetensors");
      const auto width = static_cast<size_t>(engine.vocab_size());
      const auto ids = reference.get<int32_t>("0.ids");
      const auto expected = reference.get<float>("0.logits");
      // In slices, and in recorded decode steps of one row and of five.
      CHECK(test::median_error(logits(engine, ids, ids.size()), expected, width) <
            tolerance_of(folder, placement));
      CHECK(test::median_error(logits(engine, ids, 1), expected, width) < tolerance);
      CHECK(test::median_error(logits(engine, ids, 5), expected, width) < tolerance);
    }
}

TEST_CASE("cuda: the shipped model in all formats of the cache") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  const Placement cpu{"cpu", "place: {device: cpu}", "place: {device: cpu}"};
  std::vector<int32_t> ids(150);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 37 % 4096);
  // The CPU computes with f32 activations, the hybrid's experts too: the 8 bits of its faster
  // kernels would be farther off than the GPU is.
  const test::KtxIsa exact("scalar");
  const auto expected = [&] {
    Engine reference = load(test::shipped_model, cpu, true, "f32");
    return logits(reference, ids, ids.size());
  }();
  const size_t width = expected.size() / ids.size();
  for (const char* format : {"f32", "bf16", "fp8"}) {
    INFO(format);
    Engine engine = load(test::shipped_model, placements[1], true, format);
    const double limit = format == std::string("fp8") ? 5 * tolerance : tolerance;
    CHECK(test::median_error(logits(engine, ids, ids.size()), expected, width) < limit);
    CHECK(test::median_error(logits(engine, ids, 1), expected, width) < limit);
  }
}

// Of one GPU KTX_CUDA_DEVICES=0,0 makes two.
TEST_CASE("cuda: two GPUs have the logits of one") {
  if (device::detect_gpus().size() < 2) SKIP("fewer than two GPUs; KTX_CUDA_DEVICES=0,0 makes two");
  const Placement spread{"spread", "place: {device: cpu}",
                         "place: {device: [cuda:0, cuda:1], spread: layers}"};
  const Placement streamed{"streamed",
                           "place: {device: cpu}, prefill: {device: cuda:1, stream: yes}",
                           "place: {device: [cuda:0, cuda:1], spread: layers}"};
  const Placement experts{"experts on the second", "place: {device: cuda:1}",
                          "place: {device: cuda:0}"};
  const Placement resident{"residents on the second",
                           "place: {device: cpu, experts: {resident: 5, on: cuda:1}}",
                           "place: {device: cuda:0}"};
  const Placement all{"spread without a CPU", "place: {device: [cuda:1, cuda:0], spread: layers}",
                      "place: {device: [cuda:0, cuda:1], spread: layers}"};
  for (const char* name : {"kimi-k2", "mixtral"}) {
    const auto folder = test::data_dir / "arch" / name;
    const test::Reference reference(folder / "reference.safetensors");
    const auto ids = reference.get<int32_t>("0.ids");
    const auto expected = reference.get<float>("0.logits");
    for (const auto& placement : {spread, streamed, experts, resident, all}) {
      INFO(name << ", " << placement.name);
      Engine engine = load(folder, placement);
      const auto width = static_cast<size_t>(engine.vocab_size());
      CHECK(test::median_error(logits(engine, ids, ids.size()), expected, width) < tolerance);
      CHECK(test::median_error(logits(engine, ids, 1), expected, width) < tolerance);
      CHECK(test::median_error(logits(engine, ids, 5), expected, width) < tolerance);
      CHECK(greedy(engine, ids, 16) == greedy_by_rows(engine, ids, 16));
    }
  }
}

namespace {
const char* const fault = "cuda: an engine whose GPU faults";
}

// Hidden: CUDA is of no use afterwards in this process.
TEST_CASE(fault, "[.fault]") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  Engine engine = load(test::shipped_model, placements[1]);
  Session session(engine);
  const std::vector<int32_t> prompt(20, 7);
  CHECK(session.generate(prompt, {.max_new_tokens = 4}).ids.size() == 4);
  {  // a kernel of another queue reads where nothing is
    test::Gpu gpu;
    device::Handshake handshake(gpu.queue());
    const device::Block to = device::alloc({}, 4096, device::Pinned::yes);
    handshake.post({{{.from = reinterpret_cast<const void*>(16),
                      .to = to.data(),
                      .rows = 1,
                      .width = 4,
                      .from_stride = 4,
                      .to_stride = 4}}});
    CHECK_FALSE(handshake.wait_posted());
  }
  for (int i = 0; i < 2; ++i) {
    try {
      Session(engine).generate(prompt, {.max_new_tokens = 4});
      FAIL("a GPU that has faulted gave an answer");
    } catch (const Error& e) {
      CHECK(std::string(e.what()).find("cuda:0 failed: ") != std::string::npos);
    }
  }
}

TEST_CASE("cuda: a GPU that faults ends requests with its reason") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  REQUIRE(std::system(("'" + self + "' '" + fault + "'").c_str()) == 0);
}

TEST_CASE("cuda: memory of a GPU that is taken by others is an error, and nothing is left behind") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  const auto bytes = device::detect_gpus().front().memory_bytes;
  {
    std::vector<device::Block> taken;
    for (uint64_t piece = bytes / 2; piece > 64u << 20;) try {
        taken.push_back(device::alloc(test::Gpu::place, piece));
      } catch (const Error&) {
        piece /= 2;
      }
    try {
      load(test::shipped_model, placements[1]);
      FAIL("a model was loaded without memory");
    } catch (const Error& e) {
      INFO(e.what());
      CHECK(std::string(e.what()).find("cuda:0: taking ") != std::string::npos);
    }
  }
  Engine engine = load(test::shipped_model, placements[1]);
  const std::vector<int32_t> prompt(20, 7);
  CHECK(Session(engine).generate(prompt, {.max_new_tokens = 4}).ids.size() == 4);
}

namespace {

constexpr int many = 12;  // sessions: more rows than kernels for few rows take

/// A text that a session made, and the logits behind it: what decoding left in the cache.
struct Answer {
  std::vector<int32_t> prompt, ids;
  std::vector<float> logits;
};

/// Sessions 3 i to 3 i + 2 have one prompt. What most prompts have beyond a slice is a short rest,
/// which runs beside decoding sequences where the plan is not deterministic.
Answer answer(Engine& engine, int session_number, int experts = 0) {
  const int i = session_number / 3;
  Answer made;
  for (int n = 0; n < 66 + 9 * i; ++n) made.prompt.push_back((11 + 37 * (n + i)) % 4000);
  Session session(engine);
  made.ids =
      session.generate(made.prompt, {.max_new_tokens = 24, .experts_per_token = experts}).ids;
  session.evaluate({&made.ids.back(), 1}, [&](int64_t, int64_t rows, const float* numbers) {
    made.logits.assign(numbers, numbers + rows * engine.vocab_size());
  });
  return made;
}

/// make(i) of all sessions, each on a thread of its own.
template <class Make>
std::vector<Answer> together(const Make& make) {
  std::vector<std::future<Answer>> running;
  for (int i = 0; i < many; ++i) running.push_back(std::async(std::launch::async, make, i));
  std::vector<Answer> answers;
  for (auto& one : running) answers.push_back(one.get());
  return answers;
}

PlanOptions options_of_many(const Placement& placement) {
  auto options = options_of(test::shipped_model, placement);
  options.prefill_chunk = 64;
  options.sessions = many;
  return options;
}

}  // namespace

TEST_CASE("cuda: what sessions decode together has the logits of the same text read alone") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  for (const auto& placement : placements) {
    INFO(placement.name);
    Engine engine(make_plan(options_of_many(placement)));
    const auto width = static_cast<size_t>(engine.vocab_size());
    std::vector<float> decoded, read;
    for (const Answer& one : together([&](int i) { return answer(engine, i); })) {
      CHECK(one.ids.size() == 24);
      decoded.insert(decoded.end(), one.logits.begin(), one.logits.end());
      auto text = one.prompt;
      text.insert(text.end(), one.ids.begin(), one.ids.end());
      const auto all = logits(engine, text, text.size());
      read.insert(read.end(), all.end() - static_cast<ptrdiff_t>(width), all.end());
    }
    CHECK(test::median_error(decoded, read, width) <
          2 * tolerance);  // each is that far from exact ones
  }
}

TEST_CASE("cuda: a deterministic plan gives every session the numbers that it has alone") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  for (const auto& placement : placements) {
    INFO(placement.name);
    auto options = options_of_many(placement);
    options.cache_format = "f32";  // no difference is lost
    options.deterministic = true;
    Engine engine(make_plan(options));
    const auto make = [&](int i) { return answer(engine, i, std::array{8, 6, 2}[i % 3]); };
    std::vector<Answer> alone;
    for (int i = 0; i < many; ++i) alone.push_back(make(i));
    CHECK((alone[0].logits != alone[1].logits));  // of other numbers of experts
    CHECK((alone[1].logits != alone[2].logits));
    const auto all = together(make);
    for (size_t i = 0; i < many; ++i) {
      INFO("session " << i);
      CHECK(all[i].ids == alone[i].ids);
      CHECK((all[i].logits == alone[i].logits));
    }
  }
}

TEST_CASE("cuda: a fork shares a page that both then write to") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  Engine engine = load(test::shipped_model, placements[1]);
  Session first(engine);
  first.generate(std::vector<int32_t>(20, 19), {.max_new_tokens = 24});
  Session second = first.fork(first.position());
  const std::vector<int32_t> more{5, 6, 7};
  const auto a = first.generate(more, {.max_new_tokens = 8}).ids;
  CHECK(second.generate(more, {.max_new_tokens = 8}).ids == a);
}
