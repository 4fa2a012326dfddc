// page.html, which CMake puts into the program.
#pragma once

#include <string_view>

namespace ktx::placement {

extern const std::string_view page_template;

/// What page_template has where the plan's data belong.
inline constexpr std::string_view page_data_mark = "{{PLAN}}";

}  // namespace ktx::placement
