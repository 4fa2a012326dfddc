// Recognises files that were downloaded by mistake instead of the real one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::base {

/// What the file is, by its first bytes, if it is a Git LFS pointer or an HTML page instead of the
/// file that was wanted; otherwise nothing.
std::optional<std::string> stand_in(std::string_view beginning);

}  // namespace ktx::base
