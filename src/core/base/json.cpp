// JSON reading with errors that name file, line and column.
#include "core/base/json.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/file.hpp"

namespace ktx::base {

Json parse_json(std::string_view text, const std::string& where) {
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::parse_error& e) {
    const size_t at = std::min(e.byte == 0 ? 0 : e.byte - 1, text.size());
    const auto before = text.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    throw_input("not valid JSON", where + ":" + std::to_string(line) + ":" +
                                      std::to_string(at - start + 1));
  }
}

Json read_json(const std::filesystem::path& file) {
  return parse_json(read_text(file), file.string());
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ktx::base
