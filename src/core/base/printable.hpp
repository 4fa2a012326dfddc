// Makes names from untrusted files safe to print.
#pragma once

#include <string>
#include <string_view>

namespace ktx::base {

/// The text with control characters escaped ("\n", "\x1b"), so that it stays on its line and cannot
/// control a terminal.
std::string printable(std::string_view text);

}  // namespace ktx::base
