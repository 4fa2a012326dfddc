// Names that come from files, as they may be printed.
#pragma once

#include <string>
#include <string_view>

namespace ktx::base {

/// The text with its control characters escaped, "\n", "\x1b": it stays in its line and tells a
/// terminal nothing.
std::string printable(std::string_view text);

}  // namespace ktx::base
