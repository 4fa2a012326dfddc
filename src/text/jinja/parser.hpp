// Parses a template.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/ast.hpp"

namespace ktx::text::jinja {

/// Throws input error with line and column; `where` names the template.
Tree parse(std::string_view source, const std::string& where);

}  // namespace ktx::text::jinja
