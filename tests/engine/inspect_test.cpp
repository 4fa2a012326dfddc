// The public view of a checkpoint.
#include <algorithm>

#include "catch.hpp"
#include "ktx/checkpoint.hpp"
#include "ktx/error.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;

TEST_CASE("a checkpoint's summary adds up") {
  const auto s = inspect(test::shipped_model);
  CHECK(s.architecture == "deepseek_v3");
  CHECK(s.layers == 4);
  CHECK(s.experts == 32);
  CHECK(s.experts_per_token == 8);
  CHECK(s.vocab == 4096);
  CHECK(s.tensors.size() == 70);
  int64_t weights = 0;
  for (const auto& module : s.modules) weights += module.weights;
  CHECK(weights == s.weights);  // every tensor belongs to one module
  CHECK(s.bytes < std::filesystem::file_size(test::shipped_model));
  const auto experts = std::find_if(s.modules.begin(), s.modules.end(), [](const auto& m) {
    return m.path == "model.layers.2.mlp.experts";
  });
  REQUIRE(experts != s.modules.end());
  CHECK(experts->classes.front() == "moe.experts");
  CHECK(experts->formats == std::vector<std::string>{"q4_k", "q6_k"});
  CHECK(Json::parse(s.metadata).at("general.architecture") == "deepseek2");
}

TEST_CASE("written tensors can be read back; a file that can't be written is an error") {
  const test::TempDir folder;
  const auto file = folder.path() / "a.safetensors";
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  write_safetensors(file, {{"a", {2, 3}, values}});
  CHECK(test::Reference(file).get<float>("a") == values);
  CHECK_THROWS_AS(write_safetensors("/dev/full", {{"a", {2, 3}, values}}), Error);
}
