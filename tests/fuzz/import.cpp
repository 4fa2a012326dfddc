// Rules of other programs: what is made of them must be rules of ktx.
#include "core/base/error.hpp"
#include "core/base/yaml.hpp"
#include "fuzz/input.hpp"
#include "fuzz/model_use.hpp"
#include "fuzz/targets.hpp"
#include "placement/import/ktransformers.hpp"
#include "placement/import/tensor_overrides.hpp"

namespace ktx::fuzz {

namespace {

void check_rules(const std::string& text) {
  try {
    parse_rules(text);
  } catch (const Error& error) {
    throw_bug("imported rules are no rules: " + std::string(error.what()) + "\n" + text);
  }
}

}  // namespace

// The file without a name is KTransformers'; in one of the name "overrides" are llama.cpp's.
void use_import(std::string_view input) {
  const auto files = files_of(input);
  const placement::ImportTarget target{sample_model(), "model.gguf", model::Naming::gguf};
  if (const auto* overrides = find_file(files, "overrides"))
    check_rules(placement::import_tensor_overrides(*overrides, target));
  else
    check_rules(
        placement::import_ktransformers(base::parse_yaml(files[0].text, "kt.yaml"), target));
}

}  // namespace ktx::fuzz
