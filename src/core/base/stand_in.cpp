// Git LFS pointers and HTML pages by their first bytes.
#include "core/base/stand_in.hpp"

namespace ktx::base {

std::optional<std::string> stand_in(std::string_view beginning) {
  if (beginning.starts_with("version https://git-lfs"))
    return "a Git LFS pointer, not the file itself: 'git lfs pull' fetches it";
  const size_t text = beginning.find_first_not_of(" \t\r\n");
  if (text == std::string_view::npos) return std::nullopt;
  beginning.remove_prefix(text);
  for (const std::string_view start : {"<!DOCTYPE", "<!doctype", "<html", "<HTML"})
    if (beginning.starts_with(start))
      return "an HTML page, not the file itself: the download went wrong";
  return std::nullopt;
}

}  // namespace ktx::base
