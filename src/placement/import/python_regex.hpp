// Regular expressions of Python's `re` in PCRE2's writing.
#pragma once

#include <string>
#include <string_view>

namespace ktx::placement {

/// The same pattern for PCRE2, of equal meaning on module paths, which are ASCII and one line. What
/// neither knows stays as it is: compiling it says what is wrong.
std::string python_to_pcre2(std::string_view pattern);

}  // namespace ktx::placement
