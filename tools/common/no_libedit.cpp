// Builds without libedit.
#include "tools/common/line_reader.hpp"

namespace ktx::tools {

std::unique_ptr<LineReader> libedit_line_reader(const std::filesystem::path&) {
  return nullptr;
}
std::string line_editor_name() {
  return "plain lines, built without libedit";
}

}  // namespace ktx::tools
