// Synthetic models as a source: what a spec may say, and that it has what ktx-synth writes.
#include "engine/synth/source.hpp"

#include <filesystem>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "engine/source.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
using namespace ktx::engine;
using test::failure;
namespace fs = std::filesystem;

namespace {

const std::string sizes =
    ",moe=2,experts=32,hidden_size=256,intermediate_size=512,moe_intermediate_size=256,"
    "num_attention_heads=4,num_key_value_heads=4,vocab_size=600";
const std::string mla_sizes =
    ",dense=1,q_lora_rank=256,kv_lora_rank=256,qk_nope_head_dim=64,qk_rope_head_dim=32,"
    "v_head_dim=64";

/// The checkpoint that ktx-synth writes for a spec.
struct Written {
  const test::TempDir folder;
  const fs::path path;
  Written(const std::string& spec, const char* name) : path(folder.path() / name) {
    auto options = parse_spec(spec);
    options.out = path;
    synthesize(options);
  }
};

void compare(const std::string& spec, const char* file) {
  INFO(spec);
  const Written written(spec, file);
  const auto made = open_source(spec), read = open_source(written.path);
  CHECK(made->kind() == read->kind());
  CHECK(made->path() == spec);
  CHECK(made->config() == read->config());
  CHECK(made->tokenizer() == read->tokenizer());
  CHECK(made->tokenizer_config() == read->tokenizer_config());
  REQUIRE(made->tensors().size() == read->tensors().size());
  for (const auto& tensor : read->tensors()) {
    const auto* same = made->find(tensor.name);
    REQUIRE(same != nullptr);
    CHECK(same->format == tensor.format);
    CHECK(same->shape == tensor.shape);
    const int64_t rows = loader::matrix_rows(tensor);
    CHECK(loader::read_rows(*made, *same, 0, rows) == loader::read_rows(*read, tensor, 0, rows));
    // A piece that begins anywhere.
    const int64_t first = rows * 2 / 3;
    CHECK(loader::read_rows(*made, *same, first, rows - first) ==
          loader::read_rows(*read, tensor, first, rows - first));
  }
}

}  // namespace

TEST_CASE("a spec has the tensors, bytes and configuration of the checkpoint that is written") {
  compare("synth:deepseek-v3,mix=q4_k_m,seed=3" + sizes + mla_sizes, "source_test.gguf");
  compare("synth:deepseek-v3,mix=fp8" + sizes + mla_sizes, "source_test");
  compare("synth:qwen3-235b,mix=bf16,head_dim=64" + sizes, "source_test.gguf");
}

TEST_CASE("a spec's keys") {
  const auto options =
      parse_spec("synth:kimi-k2,mix=q8_0,moe=6,dense=2,experts=64,seed=7,n_group=2");
  CHECK(options.model == "kimi-k2");
  CHECK(options.mix == "q8_0");
  CHECK(options.moe_layers == 6);
  CHECK(options.dense_layers == 2);
  CHECK(options.experts == 64);
  CHECK(options.seed == 7);
  CHECK(options.sizes == std::map<std::string, int64_t>{{"n_group", 2}});
  const auto plain = parse_spec("synth:deepseek-v3");
  CHECK(plain.mix == "q4_k_m");
  CHECK_FALSE(plain.experts);
  CHECK(is_synthetic("synth:x"));
  CHECK_FALSE(is_synthetic("synth.gguf"));
  CHECK_FALSE(is_synthetic("/models/synth:x"));
}

TEST_CASE("a wrong spec's error names what there is") {
  const auto error = [](const char* spec) { return failure([&] { open_source(spec); }); };
  CHECK(error("synth:deepsek-v3") ==
        "input synth:deepsek-v3: no published model 'deepsek-v3'\n"
        "  note: did you mean 'deepseek-v3' or 'deepseek-v2'?\n"
        "  note: valid models: deepseek-v3, deepseek-v2, deepseek-v2-lite, kimi-k2, qwen3-235b, "
        "qwen3-30b-a3b, mixtral-8x7b");
  CHECK(error("synth:kimi-k2,mix=q4_km") ==
        "input synth:kimi-k2,mix=q4_km: no mix 'q4_km'\n"
        "  note: did you mean 'q4_k_m' or 'q4_k'?\n"
        "  note: valid mixes: q4_k_m, q4_k, q2_k_xl, iq2_xxs, iq1_s, mxfp4, q8_0, bf16, fp8");
  CHECK(error("synth:kimi-k2,expert=3")
            .starts_with("input synth:kimi-k2,expert=3: no key 'expert' of kimi-k2\n"
                         "  note: did you mean 'experts'?\n"
                         "  note: valid keys: mix, dense, moe, experts, seed, "));
  for (const char* value : {"", "x", "1.5", "99999999999999999999", "3 "})
    CHECK(error(("synth:kimi-k2,moe=" + std::string(value)).c_str()) ==
          "input synth:kimi-k2,moe=" + std::string(value) +
              ": 'moe': expected a whole number, found '" + value + "'");
  CHECK(error("synth:kimi-k2,moe=1,dense=1,moe=2") ==
        "input synth:kimi-k2,moe=1,dense=1,moe=2: 'moe' is given twice");
  CHECK(error("synth:kimi-k2,") ==
        "input synth:kimi-k2,: expected KEY=VALUE after a comma, found ''\n"
        "  note: for example synth:deepseek-v3,mix=q4_k_m,moe=4,experts=64");
  CHECK(error("synth:qwen3-235b,dense=1")
            .starts_with("input synth:qwen3-235b,dense=1: qwen3-235b has MoE layers only"));
  CHECK(error("synth:kimi-k2,moe=-1")
            .starts_with("input synth:kimi-k2,moe=-1: expected at least one layer"));
  CHECK(error("synth:kimi-k2,experts=-3")
            .starts_with("input synth:kimi-k2,experts=-3: 'n_routed_experts' must be from 0"));
}
