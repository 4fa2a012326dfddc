// What people have instead of a file that they meant to download.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::base {

/// Says what a file is by its first bytes, when it only stands for the one that is wanted: a Git
/// LFS pointer, an HTML page. Nothing when it does not look like either.
std::optional<std::string> stand_in(std::string_view beginning);

}  // namespace ktx::base
