// The public way to a plan: defaults, and what options override.
#include "ktx/plan.hpp"

#include "catch.hpp"
#include "core/base/file.hpp"
#include "engine/access.hpp"
#include "ktx/error.hpp"
#include "ktx/synth.hpp"
#include "ktx/tokenizer.hpp"
#include "loader/checkpoint.hpp"
#include "model/tensor_names.hpp"
#include "placement/plan.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

PlanOptions options() {
  return {.model = test::shipped_model, .rules = test::source_dir / "optimize_rules/cpu.yaml"};
}

int top_k(const Plan& plan) {
  for (const auto& node : engine::Access::details(plan).model.graph.nodes)
    if (node.op == graph::Op::router) return std::get<graph::RouterParams>(node.params).top_k;
  return 0;
}

}  // namespace

TEST_CASE("predictions have the ratio that fewer experts were measured to have") {
  // One Xeon Gold 6454S with eight channels of DDR5-4800 and an RTX 4090D. KTransformers 0.2
  // decodes DeepSeek-V3 in Q4_K_M there with 8.73 tokens/s, and with 6 instead of 8 experts
  // with 10.3 (its README of February 2025): one efficiency, whatever it is, for both.
  const auto machine = test::own_file("seed.yaml");
  base::write_file(machine,
                   "isa: amx_int8\nnodes: {cores: 32, threads: 64, memory: 503GiB}\n"
                   "read_bandwidth: 307GB/s\ngpus: [{name: RTX 4090D, memory: 24GiB, "
                   "read_bandwidth: 1008GB/s, copy_bandwidth: 25GB/s}]\n");
  const auto rate = [&](int experts) {
    return make_plan({.model = "synth:deepseek-v3,mix=q4_k_m",
                      .rules = test::source_dir / "optimize_rules/hybrid-14g.yaml",
                      .machine = machine,
                      .experts_per_token = experts})
        .predicted_decode(0);
  };
  const double eight = rate(8), six = rate(6);
  std::filesystem::remove(machine);
  CHECK(8.73 * six / eight == Approx(10.3).epsilon(0.05));
}

TEST_CASE("kernels' scratch does not shrink as sessions are added") {
  // From 8 sessions on a decode step may have as many rows as this slice.
  const auto rules = test::own_file("scratch.yaml");
  base::write_file(
      rules, "ktx: 1\nrules: [{name: all, match: {name: '.*'}, place: {device: 'cuda:0'}}]\n");
  for (const char* arch : {"llama", "kimi-k2"}) {
    INFO(arch);
    const auto scratch = [&](int sessions) {
      const auto plan =
          make_plan({.model = test::data_dir / "arch" / arch,
                     .rules = rules,
                     .machine = test::source_dir / "tests/machines/desktop-4090-192g.yaml",
                     .cache_length = 8192,
                     .prefill_chunk = 64,
                     .sessions = sessions});
      return engine::Access::details(plan).find_device("cuda:0")->scratch;
    };
    CHECK(scratch(8) >= scratch(7));
    CHECK(scratch(9) >= scratch(8));
  }
  std::filesystem::remove(rules);
}

TEST_CASE("a plan takes its defaults from the model and the machine") {
  const auto plan = make_plan(options());
  CHECK(engine::Access::details(plan).cache_length == 4096);
  CHECK(engine::Access::details(plan).threads ==
        engine::Access::details(plan).machine.core_count());
  CHECK(top_k(plan) == 8);
  CHECK(engine::Access::details(plan).predicted_decode == 0);  // nothing was measured
  const auto& besides = engine::Access::details(plan).devices.front();
  CHECK(besides.rope_tables == 4096 * 64 * sizeof(float));  // 32 pairs, one table for all layers
  CHECK(besides.scratch > 512 * 256 * sizeof(float));       // at least a step's copy of its inputs
  CHECK(besides.activations > 512 * 256 * sizeof(float));
  CHECK(besides.loading > 4u << 20);
  CHECK(Json::parse(plan.json()).is_object());
}

TEST_CASE("options override the defaults") {
  auto o = options();
  o.experts_per_token = 6;
  o.threads = 3;
  o.cache_length = 100;
  const auto plan = make_plan(o);
  CHECK(engine::Access::details(plan).experts_per_token.back() == 6);
  CHECK(top_k(plan) == 8);  // a request may ask for the checkpoint's number
  CHECK(engine::Access::details(plan).threads == 3);
  CHECK(engine::Access::details(plan).cache_length == 100);
  o.experts_per_token = 33;
  CHECK_THROWS_AS(make_plan(o), Error);
}

TEST_CASE("a rules file that names the model is enough") {
  const auto rules = test::own_file("plan_test_rules.yaml");
  const auto head = "ktx: 1\nmodel: {path: '" + test::shipped_model.string() + "'}\ncontext: 77\n";
  const std::string all = "rules:\n  - {name: all, match: {name: '.*'}, place: {}}\n";
  std::ofstream(rules) << head << "weights_cache: packed\n" << all;
  const auto plan = make_plan({.rules = rules});
  CHECK(engine::Access::source(plan)->path() == test::shipped_model);
  CHECK(plan.cache_length() == 77);
  CHECK(plan.weights_cache() == rules.parent_path() / "packed");
  CHECK(plan.tokenizer().encode("The history of").size() == 3);  // the model's own
  CHECK(make_plan({.rules = rules, .weights_cache = "other"}).weights_cache() == "other");
  const auto told = Json::parse(plan.json())["settings"];
  CHECK(told[0]["name"] == "model");
  CHECK(told[0]["from"] == rules.string() + ":2");
  std::ofstream(rules) << "ktx: 1\n" << all;
  CHECK_THROWS_AS(make_plan({.rules = rules}), Error);
  const auto vocabulary = test::own_file("plan_test_tokenizer.json");
  std::filesystem::copy_file(test::data_dir / "tokenizer/tiny-v3-tokenizer.json", vocabulary);
  std::ofstream(rules) << head << "tokenizer: '" << vocabulary.string() << "'\n" << all;
  const auto own = make_plan({.rules = rules});
  const auto opened = own.tokenizer();
  std::filesystem::remove(vocabulary);  // it is opened once, for all who ask the plan
  CHECK(Plan(own).tokenizer().encode("The history of") == opened.encode("The history of"));
  std::ofstream(rules) << head << "tokenizer: none/at/all\n" << all;
  CHECK_THROWS_AS(make_plan({.rules = rules}).tokenizer(), Error);
}

TEST_CASE("options for many sessions") {
  auto o = options();
  o.sessions = 4;
  o.cache_format = "fp8";
  o.deterministic = true;
  o.max_experts = 12;
  o.cache_length = 65;
  o.prefill_chunk = 64;
  const auto plan = make_plan(o);
  auto alone = options();
  alone.prefill_chunk = 64;
  const auto one = make_plan(alone);
  CHECK(engine::Access::details(plan).sessions == 4);
  CHECK(engine::Access::details(plan).cache_pages == 8);
  CHECK(engine::Access::details(plan).cache_format == graph::KvFormat::fp8);
  CHECK(engine::Access::details(plan).deterministic);
  CHECK(engine::Access::details(plan).max_experts_per_token == 12);
  const auto& memory = engine::Access::details(plan).devices.front();
  // Decode steps of four sessions have 32 rows, those of one have 8; slices of prompts are the
  // same.
  CHECK(memory.scratch > engine::Access::details(one).devices.front().scratch);
  CHECK(memory.activations > engine::Access::details(one).devices.front().activations);
  o.cache_format = "int8";
  CHECK_THROWS_AS(make_plan(o), Error);
}

TEST_CASE("a plan for another box needs neither its hardware nor the weights") {
  const auto machine = std::filesystem::path(KTX_BINARY_DIR) / "plan_test_machine.yaml";
  std::ofstream(machine) << "name: two sockets\nisa: avx2\nread_bandwidth: 300GB/s\n"
                            "nodes: {count: 1, cores: 32, threads: 64, memory: 384GiB}\n";
  const auto header = std::filesystem::path(KTX_BINARY_DIR) / "plan_test_header.gguf";
  std::ofstream(header, std::ios::binary)
      << test::read_bytes(test::shipped_model).substr(0, 200000);
  auto o = options();
  o.model = header;
  o.machine = machine;
  CHECK_THROWS_AS(make_plan(o), Error);  // without header_only the weights must be there
  o.header_only = true;
  const auto plan = make_plan(o);
  CHECK(engine::Access::details(plan).threads == 32);
  CHECK(plan.text().find("two sockets") != std::string::npos);
  for (const auto& module : engine::Access::details(plan).modules)
    CHECK(module.decode.name != "avx512_vnni");
  CHECK(engine::Access::details(plan).predicted_decode > 0);
}

TEST_CASE("a plan from headers says when no tokenizer works") {
  auto o = options();
  o.model = test::data_dir / "arch/kimi-k2";
  CHECK(make_plan(o).text().find("TOKENIZER") == std::string::npos);  // a run says it itself
  o.header_only = true;
  const std::string line = "NO TOKENIZER that works: " + o.model.string() +
                           ": expected a directory with a tokenizer.json or a tiktoken.model, "
                           "found neither; --tokenizer PATH names another";
  CHECK(make_plan(o).text().find("\nWARNINGS\n  " + line + "\n") != std::string::npos);
  CHECK(Json::parse(make_plan(o).json())["warnings"][0] == line);
  o.tokenizer = test::data_dir / "tokenizer/tiny-v3-tokenizer.json";
  CHECK(make_plan(o).text().find("TOKENIZER") == std::string::npos);
}

namespace {

/// The least box that a rules file is for.
struct Box {
  const char* rules;
  const char* model;
  int gpus;
  uint64_t gpu_gib, ram_gib;
};

Plan plan_of(const Box& box) {
  const auto machine = test::own_file("plan_test_box.yaml");
  std::ofstream file(machine);
  file << "isa: amx_int8\nnodes: {cores: 32, memory: " << box.ram_gib << "GiB}\n";
  if (box.gpus > 0)
    file << "gpus: [{name: a GPU, count: " << box.gpus << ", capability: 8.6, multiprocessors: 84, "
         << "memory: " << box.gpu_gib << "GiB}]\n";
  file.close();
  return make_plan({.model = box.model,
                    .rules = test::source_dir / "optimize_rules" / box.rules,
                    .machine = machine,
                    .header_only = true});
}

}  // namespace

TEST_CASE("the rules files for GPUs plan DeepSeek-V3 on the boxes that they are for") {
  const char* q4_k_m = "synth:deepseek-v3,mix=q4_k_m";
  for (const Box& box :
       {Box{"hybrid-14g.yaml", q4_k_m, 1, 14, 382}, Box{"hybrid-24g.yaml", q4_k_m, 1, 23, 382},
        Box{"hybrid-48g.yaml", q4_k_m, 1, 46, 360},
        Box{"hybrid-int8-int4.yaml", "synth:deepseek-v3,mix=fp8", 1, 20, 640},
        Box{"hybrid-2gpu.yaml", q4_k_m, 2, 23, 360}, Box{"hybrid-4gpu.yaml", q4_k_m, 4, 23, 330}}) {
    INFO(box.rules);
    const auto made = plan_of(box);
    const auto& plan = engine::Access::details(made);
    CHECK(plan.devices.size() == 1 + static_cast<size_t>(box.gpus));
    for (const auto& planned : plan.modules) {
      const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
      CHECK(planned.stream == (module.op == "moe"));
      if (module.op == "mla") CHECK(planned.device != "cpu");
    }
    CHECK_THROWS_AS(plan_of({box.rules, box.model, 0, 0, box.ram_gib}), Error);
    CHECK_THROWS_AS(plan_of({box.rules, box.model, box.gpus, box.gpu_gib, box.ram_gib - 30}),
                    Error);
  }
}

TEST_CASE("resident experts fill what a GPU has left") {
  const auto residents = [](const Plan& plan, size_t least) {
    for (const auto& planned : engine::Access::details(plan).modules)
      if (planned.stream) {
        CHECK(planned.residents.experts.size() >= least);
        CHECK(planned.residents.device == planned.prefill_device);
      }
  };
  const char* q4_k_m = "synth:deepseek-v3,mix=q4_k_m";
  residents(plan_of({"hybrid-48g.yaml", q4_k_m, 1, 46, 360}), 15);
  residents(plan_of({"hybrid-2gpu.yaml", q4_k_m, 2, 23, 360}), 10);
  residents(plan_of({"hybrid-4gpu.yaml", q4_k_m, 4, 23, 330}), 30);
}

TEST_CASE("every keyword is documented") {
  for (const char* word : {"match", "place", "decode", "prefill", "experts_per_token", "numa"})
    CHECK(rules_reference().find(word) != std::string::npos);
}

TEST_CASE("every module has a path that rules for other models may name") {
  std::vector<std::filesystem::path> models;
  for (const auto& model : synth_models()) models.push_back("synth:" + model.name);
  for (const auto& folder : std::filesystem::directory_iterator(test::data_dir / "arch"))
    models.push_back(folder);
  for (const auto& model : models) {
    INFO(model);
    auto o = options();
    o.model = model;
    o.header_only = true;
    o.machine = test::source_dir / "tests/machines/two-xeon-4090d-1t.yaml";
    const auto plan = make_plan(o);
    for (const auto& module : engine::Access::details(plan).model.modules) {
      if (!module.unused.empty()) continue;
      INFO(module.path);
      CHECK(std::ranges::count(model::module_paths(module.layer), module.path) == 1);
    }
  }
}

TEST_CASE("rules with experts place models without") {
  for (const char* rules : {"hybrid.yaml", "hybrid-14g.yaml", "hybrid-24g.yaml"}) {
    INFO(rules);
    auto o = options();
    o.model = "synth:deepseek-v3,mix=q4_k_m,dense=3,moe=0";
    o.rules = test::source_dir / "optimize_rules" / rules;
    o.machine = test::source_dir / "tests/machines/xeon64-h200-512g.yaml";
    const auto plan = make_plan(o);
    CHECK(engine::Access::details(plan).rules.front().modules == 0);
    CHECK(plan.text().find("none in this model") != std::string::npos);
    REQUIRE(plan.lint().size() == 1);
    CHECK(
        plan.lint()[0].ends_with("rule 'routed experts' is for other models: no module of this "
                                 "model has class moe.experts [not-in-model]"));
  }
}

namespace {

/// optimize_rules/<family>/<box>.yaml, for tests/machines/<box>.yaml.
Plan library_plan(const std::filesystem::path& rules) {
  const auto family = rules.parent_path().filename().string();
  return make_plan({.model = "synth:" + family + ",mix=q4_k_m",
                    .rules = rules,
                    .machine = test::source_dir / "tests/machines" / rules.filename()});
}

}  // namespace

TEST_CASE("the plans of the library's rules files are golden") {
  // KTX_UPDATE_GOLDEN=1 writes them anew.
  size_t plans = 0;
  for (const auto& family :
       std::filesystem::directory_iterator(test::source_dir / "optimize_rules")) {
    if (!family.is_directory()) continue;
    for (const auto& rules : std::filesystem::directory_iterator(family)) {
      INFO(rules.path());
      const auto golden =
          test::source_dir / "tests/data/plans" /
          (family.path().filename().string() + "-" + rules.path().stem().string() + ".txt");
      auto text = library_plan(rules).text();
      const auto folder = test::source_dir.string() + "/";
      for (size_t at = 0; (at = text.find(folder)) != std::string::npos;)
        text.erase(at, folder.size());
      if (std::getenv("KTX_UPDATE_GOLDEN") != nullptr) base::write_file(golden, text);
      CHECK(text == base::read_text(golden));
      ++plans;
    }
  }
  CHECK(plans >= 15);
}

TEST_CASE("nothing in the rules files of the library is probably not meant") {
  const auto root = test::source_dir / "optimize_rules";
  size_t files = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(root)) {
    if (file.path().extension() != ".yaml" || file.path().parent_path() == root) continue;
    INFO(file.path());
    for (const auto& line : library_plan(file.path()).lint()) FAIL_CHECK(line);
    ++files;
  }
  CHECK(files >= 15);
}

TEST_CASE("nor in the general rules files, on boxes that they are for") {
  const char* q4_k_m = "synth:deepseek-v3,mix=q4_k_m";
  const char* fp8 = "synth:deepseek-v3,mix=fp8";
  const Box boxes[] = {
      {"all-gpu.yaml", q4_k_m, 1, 500, 16},       {"cpu.yaml", q4_k_m, 0, 0, 400},
      {"cpu-int8.yaml", fp8, 0, 0, 700},          {"cpu-int4.yaml", fp8, 0, 0, 400},
      {"hybrid.yaml", q4_k_m, 1, 23, 400},        {"hybrid-14g.yaml", q4_k_m, 1, 15, 400},
      {"hybrid-24g.yaml", q4_k_m, 1, 24, 400},    {"hybrid-48g.yaml", q4_k_m, 1, 48, 400},
      {"hybrid-2gpu.yaml", q4_k_m, 2, 24, 400},   {"hybrid-4gpu.yaml", q4_k_m, 4, 24, 400},
      {"hybrid-int8-int4.yaml", fp8, 1, 24, 700},
  };
  for (const Box& box : boxes) {
    INFO(box.rules);
    auto lines = plan_of(box).lint();
    // Its comment says that it quantizes these too.
    if (box.rules == std::string("cpu-int4.yaml"))
      std::erase_if(lines, [](const auto& line) { return line.ends_with(" [coarse-head]"); });
    for (const auto& line : lines) FAIL_CHECK(line);
  }
  const auto files = std::filesystem::directory_iterator(test::source_dir / "optimize_rules");
  CHECK(std::size(boxes) == static_cast<size_t>(std::ranges::count_if(files, [](const auto& file) {
          return file.path().extension() == ".yaml";
        })));
}

TEST_CASE("a plan tells one module's story, and what other rules would change") {
  const auto plan = make_plan(options());
  const auto story = plan.why("model.layers.1.mlp.experts");
  CHECK(story.starts_with("model.layers.1.mlp.experts\n"));
  CHECK(story.find("cpu.yaml:") != std::string::npos);
  CHECK_THROWS_AS(plan.why("model.layers.1.mlp"), Error);
  const auto rules = test::source_dir / "optimize_rules/cpu.yaml";
  CHECK(plan.diff(rules).find("no difference: ") != std::string::npos);
  CHECK(plan.diff(test::source_dir / "optimize_rules/cpu-int8.yaml").find("int8 (from q4_k)") !=
        std::string::npos);
  CHECK(plan.html().starts_with("<!DOCTYPE html>"));
}

TEST_CASE("two rules files that name models are compared with their own models") {
  const auto a = test::own_file("plan_test_a.yaml"), b = test::own_file("plan_test_b.yaml");
  const std::string rest = "rules: [{name: all, match: {name: '.*'}, place: {}}]\n";
  const auto write = [&](const auto& file, const std::string& model) {
    std::ofstream(file) << "ktx: 1\n" << model << rest;
  };
  write(a, "model: {path: 'synth:mixtral-8x7b,mix=q4_k_m,moe=1'}\n");
  const auto diff = [&](const std::string& model, const std::filesystem::path& option = {}) {
    write(b, model);
    return make_plan({.model = option, .rules = a}).diff(b);
  };
  CHECK(diff("model: {path: 'synth:mixtral-8x7b,mix=q8_0,moe=1'}\n").find("q8_0") !=
        std::string::npos);
  CHECK_THROWS_AS(diff("model: {path: 'synth:qwen3-30b-a3b,moe=1'}\n"), Error);
  CHECK_THROWS_AS(diff("model: {path: 'synth:nonsense'}\n"), Error);
  // --model stands above both; a file that names none is placed with A's model.
  CHECK(diff("model: {path: 'synth:nonsense'}\n", test::shipped_model).find("no difference") !=
        std::string::npos);
  CHECK(diff("").find("no module is placed differently") != std::string::npos);
}

TEST_CASE("every machine that is described can be planned for") {
  size_t machines = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(test::source_dir / "tests/machines")) {
    INFO(file.path());
    const auto plan = make_plan({.model = test::shipped_model,
                                 .rules = test::source_dir / "optimize_rules/cpu.yaml",
                                 .machine = file.path()});
    CHECK(plan.predicted_decode(0) > 0);
    CHECK(plan.predicted_prefill(512) > 0);
    ++machines;
  }
  CHECK(machines >= 12);
}
