// JSON for the tools' --json output.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace ktx::tools {

using Json = nlohmann::ordered_json;

/// One line; text that is no UTF-8 is replaced, never thrown upon.
inline std::string to_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ktx::tools
