// A cursor over the bytes of an untrusted header: every read is checked against the file's end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file_reader.hpp"

namespace ktx::loader {

/// Reads little-endian values. `subject` says in errors what is being read: "metadata 'key'".
class ByteReader {
 public:
  /// The file must outlive the reader.
  explicit ByteReader(const base::FileReader& file) : subject("the header"), source_(file) {}

  template <class T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  /// Valid until the next read.
  std::string_view read_text(uint64_t size) {
    return {reinterpret_cast<const char*>(take(size)), static_cast<size_t>(size)};
  }

  uint64_t position() const noexcept { return position_; }
  uint64_t remaining() const noexcept { return source_.size() - position_; }
  std::string file() const { return source_.path().string(); }
  /// Of the file, for what it may be instead: at most 64 bytes.
  std::string beginning() const {
    std::string text(static_cast<size_t>(std::min<uint64_t>(64, source_.size())), '\0');
    source_.copy(0, std::as_writable_bytes(std::span(text)));
    return text;
  }

  /// Throws input error "<subject>: <message>" at the file.
  [[noreturn]] void fail(const std::string& message) const {
    throw_input(subject + ": " + message, file());
  }

  std::string subject;

 private:
  static constexpr uint64_t window = 1 << 20;  // bytes read at once

  const std::byte* take(uint64_t size) {
    if (size > remaining())
      fail("the file ends inside it: expected " + std::to_string(size) + " bytes at byte " +
           std::to_string(position_) + ", found " + std::to_string(remaining()));
    if (position_ + size > first_ + bytes_.size()) {
      bytes_.resize(static_cast<size_t>(std::min(std::max(size, window), remaining())));
      source_.copy(position_, bytes_);
      first_ = position_;
    }
    const std::byte* at = bytes_.data() + (position_ - first_);
    position_ += size;
    return at;
  }

  const base::FileReader& source_;
  std::vector<std::byte> bytes_;  // of the file, from first_ on
  uint64_t first_ = 0, position_ = 0;
};

}  // namespace ktx::loader
