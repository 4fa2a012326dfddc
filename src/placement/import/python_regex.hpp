// Translates regular expressions of Python's `re` to PCRE2.
#pragma once

#include <string>
#include <string_view>

namespace ktx::placement {

/// An equivalent PCRE2 pattern for module paths, which are ASCII and one line. Syntax that neither
/// knows is kept, so that compiling the pattern reports it.
std::string python_to_pcre2(std::string_view pattern);

}  // namespace ktx::placement
