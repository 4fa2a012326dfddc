// Rules files.
#include "core/base/yaml.hpp"
#include "fuzz/input.hpp"
#include "fuzz/model_use.hpp"
#include "fuzz/targets.hpp"
#include "loader/files.hpp"

namespace ktx::fuzz {

// The file without a name is the rules; others, profiles of experts, lie beside it.
void use_rules(std::string_view input) {
  const auto files = files_of(input);
  if (files.size() == 1) {
    plan(parse_rules(files[0].text), sample_model(), sample_machine());
    return;
  }
  const loader::TempDir folder;
  for (const File& file : files)
    if (file.name.find_first_of(std::string_view("/\0", 2)) == std::string::npos)
      folder.write(file.name.empty() ? "rules.yaml" : file.name, file.text);
  plan(placement::read_rules(folder.path() / "rules.yaml"), sample_model(), sample_machine());
}

}  // namespace ktx::fuzz
