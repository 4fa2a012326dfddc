// Synthetic checkpoints as a whole: tiny ones of every model and mix load, plan and generate.
// covers: files, mix, vocabulary
#include "ktx/synth.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <map>

#include <sys/resource.h>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/file.hpp"
#include "engine/synth/published.hpp"
#include "ktx/checkpoint.hpp"
#include "ktx/session.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
using test::failure;
namespace fs = std::filesystem;

namespace {

/// A model of the same architecture with small sizes.
SynthOptions tiny(const std::string& model, const std::string& mix, const fs::path& out) {
  SynthOptions options{.model = model, .mix = mix, .out = out, .moe_layers = 2, .experts = 32};
  const auto sizes = engine::size_names(engine::published_model(model));
  const auto has = [&](const char* size) { return std::ranges::find(sizes, size) != sizes.end(); };
  if (has("first_k_dense_replace")) options.dense_layers = 1;
  for (const auto& [size, value] : std::map<const char*, int64_t>{{"hidden_size", 256},
                                                                  {"intermediate_size", 512},
                                                                  {"moe_intermediate_size", 256},
                                                                  {"num_attention_heads", 4},
                                                                  {"num_key_value_heads", 4},
                                                                  {"vocab_size", 600},
                                                                  {"head_dim", 64},
                                                                  {"q_lora_rank", 256},
                                                                  {"kv_lora_rank", 256},
                                                                  {"qk_nope_head_dim", 64},
                                                                  {"qk_rope_head_dim", 32},
                                                                  {"v_head_dim", 64}})
    if (has(size)) options.sizes[size] = value;
  options.threads = 2;
  return options;
}

fs::path out_for(const test::TempDir& folder, const std::string& mix) {
  return folder.path() / (mix == "fp8" ? "model" : "model.gguf");
}

uint64_t size_of(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  uint64_t sum = 0;
  for (const auto& entry : fs::directory_iterator(path)) sum += entry.file_size();
  return sum;
}

/// Every logit of a text is finite, and together they spread as numbers of a sane model do.
void check_runs(const fs::path& model) {
  Engine engine(make_plan(
      {.model = model, .rules = test::source_dir / "optimize_rules/cpu.yaml", .threads = 2}));
  const auto ids = engine.tokenizer().encode("Any text at all.");
  CHECK(ids.size() == 16);  // byte by byte
  CHECK(engine.tokenizer().decode(ids) == "Any text at all.");
  CHECK(engine.tokenizer().vocab_size() == engine.vocab_size());
  Session session(engine);
  double squares = 0;
  int64_t count = 0;
  session.evaluate(ids, [&](int64_t, int64_t rows, const float* numbers) {
    for (int64_t i = 0; i < rows * engine.vocab_size(); ++i, ++count)
      squares += double{numbers[i]} * numbers[i];
  });
  const double deviation = std::sqrt(squares / static_cast<double>(count));  // NaN fails below
  CHECK(deviation > 0.5);
  CHECK(deviation < 2);
  CHECK(Session(engine).generate(ids, {.max_new_tokens = 4}).ids.size() <= 4);
}

int experts_per_token(const std::string& model) {
  const auto& published = engine::published_model(model);
  return engine::changed_config(published, {}).at("num_experts_per_tok").get<int>();
}

void check_model_and_mix(const std::string& model, const SynthChoice& mix) {
  INFO(model << " " << mix.name);
  const test::TempDir folder;
  const SynthOptions options = tiny(model, mix.name, out_for(folder, mix.name));
  const SynthReport report = synthesize(options);
  CHECK(report.bytes == synth_bytes(options));
  CHECK(report.bytes == size_of(options.out));
  CHECK(folder.file_count() == 1);
  const CheckpointSummary summary = inspect(options.out);
  CHECK(summary.experts == 32);
  CHECK(summary.experts_per_token == experts_per_token(model));
  for (const auto& module : summary.modules) CHECK(module.unused.empty());
  check_runs(options.out);
}

}  // namespace

TEST_CASE("synthetic checkpoints of every model and mix generate") {
  for (const auto& model : synth_models())
    for (const auto& mix : synth_mixes()) check_model_and_mix(model.name, mix);
}

TEST_CASE("bf16 is a directory of shards too") {
  const test::TempDir folder;
  const auto options = tiny("deepseek-v3", "bf16", folder.path() / "model/");
  const SynthReport report = synthesize(options);
  CHECK(report.bytes == size_of(folder.path() / "model"));
  CHECK(fs::exists(folder.path() / "model/model-00001-of-00001.safetensors"));
  check_runs(folder.path() / "model");
}

TEST_CASE("the same seed gives the same file, another one another") {
  const test::TempDir folder;
  auto options = tiny("deepseek-v3", "q4_k_m", folder.path() / "a.gguf");
  synthesize(options);
  options.out = folder.path() / "b.gguf";
  options.threads = 1;
  synthesize(options);
  options.out = folder.path() / "c.gguf";
  options.seed = 2;
  synthesize(options);
  const auto bytes = base::read_text(folder.path() / "a.gguf");
  CHECK(base::read_text(folder.path() / "b.gguf") == bytes);
  CHECK(base::read_text(folder.path() / "c.gguf") != bytes);
}

TEST_CASE("what exists is not replaced") {
  const test::TempDir folder;
  for (const char* mix : {"q8_0", "fp8"}) {
    const fs::path out = out_for(folder, mix);
    base::write_file(out, "mine");
    CHECK(failure([&] { synthesize(tiny("kimi-k2", mix, out)); }) ==
          "input " + out.string() + ": exists already; remove it or choose another name");
    CHECK(base::read_text(out) == "mine");
  }
}

TEST_CASE("a mix needs the kind of file that it is published in") {
  CHECK(failure([] { synthesize(tiny("kimi-k2", "fp8", "x.gguf")); }) ==
        "input x.gguf: the mix fp8 is for Hugging Face directories: expected a name without "
        ".gguf");
  CHECK(failure([] { synthesize(tiny("kimi-k2", "q4_k", "x")); }) ==
        "input x: the mix q4_k is for GGUF files: expected a name that ends in .gguf");
  CHECK(failure([] { synthesize(tiny("kimi-k2", "fp8", "")); }) ==
        "input expected the name of a file or directory to write");
}

TEST_CASE("too small a disk is found out before anything is written") {
  const test::TempDir folder;
  SynthOptions options{.model = "qwen3-235b", .mix = "bf16", .out = folder.path() / "m.gguf"};
  options.sizes = {{"moe_intermediate_size", 1 << 20}, {"num_experts", 4096}};  // 10 PB
  const std::string message = failure([&] { synthesize(options); });
  INFO(message);
  CHECK(message.starts_with("environment " + options.out.string() + ": needs "));
  CHECK(message.find(", but the disk has ") != SIZE_MAX);
  CHECK(folder.file_count() == 0);
}

TEST_CASE("a failed or stopped write leaves nothing") {
  const test::TempDir folder;
  for (const char* mix : {"q8_0", "fp8"}) {
    auto options = tiny("deepseek-v3", mix, out_for(folder, mix));
    {
      std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit then fails as on a full disk
      rlimit before{};
      ::getrlimit(RLIMIT_FSIZE, &before);
      const rlimit small{1 << 20, before.rlim_max};
      ::setrlimit(RLIMIT_FSIZE, &small);
      const std::string message = failure([&] { synthesize(options); });
      ::setrlimit(RLIMIT_FSIZE, &before);
      CHECK(message.ends_with(": can't be written: File too large"));
      CHECK(folder.file_count() == 0);
    }
    uint64_t done = 0, total = 0;
    options.progress = [&](const SynthProgress& p) {
      done = p.done;
      total = p.total;
      return p.done < p.total / 4;
    };
    CHECK(failure([&] { synthesize(options); }) ==
          "environment " + options.out.string() + ": stopped; nothing was kept");
    CHECK(total == synth_bytes(options));
    CHECK(done >= total / 4);
    CHECK(folder.file_count() == 0);
  }
}
