// Descriptions of machines: read, written, read again, planned for.
#include "core/hw/machine.hpp"
#include "core/base/error.hpp"
#include "core/base/yaml.hpp"
#include "fuzz/model_use.hpp"
#include "fuzz/targets.hpp"
#include "placement/sample.hpp"
#include "placement/suggest.hpp"

namespace ktx::fuzz {

namespace {

hw::Machine read_back(const hw::Machine& machine) {
  const auto text = hw::machine_text(machine);
  try {
    return hw::parse_machine(base::parse_yaml(text, "text of the machine"));
  } catch (const Error& error) {
    throw_bug("a machine's text is none: " + std::string(error.what()) + "\n" + text);
  }
}

}  // namespace

void use_machine(std::string_view input) {
  static const auto model = placement::sample::deepseek({.layers = 2});
  const auto machine = hw::parse_machine(base::parse_yaml(std::string(input), "machine.yaml"));
  const auto copy = read_back(machine);  // what was no UTF-8 in names was replaced
  if (!hw::is_same_machine(copy, read_back(copy)))
    throw_bug("a machine's text is another machine's");
  const auto rules = placement::suggest_rules(model, machine, {.model = "model.gguf"});
  plan(parse_rules(rules), model, machine);
}

}  // namespace ktx::fuzz
