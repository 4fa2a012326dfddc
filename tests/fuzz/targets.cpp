// The table of targets.
#include "fuzz/targets.hpp"

#include <algorithm>
#include <array>

#include "ktx/error.hpp"

namespace ktx::fuzz {

namespace {

constexpr std::array table{
    Target{"gguf", use_gguf},       Target{"safetensors", use_safetensors},
    Target{"config", use_config},   Target{"tokenizer", use_tokenizer},
    Target{"rules", use_rules},     Target{"import", use_import},
    Target{"machine", use_machine}, Target{"jinja", use_jinja},
};

}  // namespace

std::span<const Target> targets() noexcept {
  return table;
}

const Target* find_target(std::string_view name) noexcept {
  const auto* found = std::ranges::find(table, name, &Target::name);
  return found == table.end() ? nullptr : found;
}

bool accepts(const Target& target, std::string_view input) {
  try {
    target.use(input);
    return true;
  } catch (const Error& error) {
    if (error.category() == ErrorCategory::bug) throw;
    return false;
  }
}

}  // namespace ktx::fuzz
