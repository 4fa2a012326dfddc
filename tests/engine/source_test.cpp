// From checkpoint to model, for both families of files.
// covers: build_model
#include "engine/source.hpp"

#include "catch.hpp"
#include "engine/build_model.hpp"
#include "support/reference.hpp"

using namespace ktx;

TEST_CASE("GGUF and Hugging Face checkpoints of one architecture give the same modules") {
  const auto gguf = loader::open_checkpoint(test::shipped_model);
  const auto model = engine::build_model(*gguf);
  CHECK(model.info.architecture == "deepseek_v3");
  const auto shared = test::shared_dir();
  if (!shared) SKIP("models/tiny-v3 in BF16 (69 MB) is not in the repository; set KTX_SHARED");
  const auto hf = engine::build_model(*loader::open_checkpoint(*shared / "models/tiny-v3"));
  std::vector<std::string> ours, theirs;
  for (const auto& module : model.modules) ours.push_back(module.path + " " + module.op);
  for (const auto& module : hf.modules)
    if (module.unused.empty()) theirs.push_back(module.path + " " + module.op);
  CHECK(ours == theirs);
  CHECK(hf.modules.size() == theirs.size() + 1);  // the multi-token-prediction layer
}
