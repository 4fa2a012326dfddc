// The template page.html, which CMake embeds into the library.
#pragma once

#include <string_view>

namespace ktx::placement {

extern const std::string_view page_template;

/// The placeholder for the plan's data in page_template.
inline constexpr std::string_view page_data_mark = "{{PLAN}}";

}  // namespace ktx::placement
