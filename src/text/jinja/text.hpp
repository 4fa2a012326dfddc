// A string of a template: it knows which of its bytes were given to the template.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ktx::text::jinja {

/// UTF-8 bytes, each of them the template's own or *given*: from a message, a tool, a variable.
///
/// All functions cut and join texts with slice() and append(), which keep the marks, so that the
/// rendered text still distinguishes what users wrote from what the template's author wrote: only
/// the latter may become special tokens.
class Text {
 public:
  using Range = std::pair<size_t, size_t>;  // bytes [first, second)

  Text() = default;
  /// The template's own.
  explicit Text(std::string bytes) : bytes_(std::move(bytes)) {}
  static Text given(std::string bytes);

  const std::string& bytes() const noexcept { return bytes_; }
  size_t size() const noexcept { return bytes_.size(); }
  bool empty() const noexcept { return bytes_.empty(); }
  bool is_given(size_t byte) const noexcept;
  /// The bytes given: in order, not empty, with the template's own between them.
  const std::vector<Range>& given_ranges() const noexcept { return given_; }

  Text slice(size_t begin, size_t end) const;
  void append(std::string_view bytes, bool given = false);
  void append(const Text& other) { append(other, 0, other.size()); }
  /// The bytes [begin, end) of `other`, which may not be this text itself.
  void append(const Text& other, size_t begin, size_t end);
  /// Marks all bytes as given, for text computed from given text in ways that lose the origin of
  /// each byte.
  void mark_all_given();

 private:
  void mark(size_t begin, size_t end);

  std::string bytes_;
  std::vector<Range> given_;
};

}  // namespace ktx::text::jinja
