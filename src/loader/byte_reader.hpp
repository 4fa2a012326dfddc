// A cursor over the bytes of an untrusted header: every read is checked against the file's end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "core/base/error.hpp"

namespace ktx::loader {

/// Reads little-endian values. `subject` says in errors what is being read: "metadata 'key'".
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string file)
      : subject("the header"), bytes_(bytes), file_(std::move(file)) {}

  template <class T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  std::string_view read_text(uint64_t size) {
    return {reinterpret_cast<const char*>(take(size)), static_cast<size_t>(size)};
  }

  uint64_t position() const noexcept { return position_; }
  uint64_t remaining() const noexcept { return bytes_.size() - position_; }
  const std::string& file() const noexcept { return file_; }

  /// Throws input error "<subject>: <message>" at the file.
  [[noreturn]] void fail(const std::string& message) const {
    throw_input(subject + ": " + message, file_);
  }

  std::string subject;

 private:
  const std::byte* take(uint64_t size) {
    if (size > remaining())
      fail("the file ends inside it: expected " + std::to_string(size) + " bytes at byte " +
           std::to_string(position_) + ", found " + std::to_string(remaining()));
    const std::byte* at = bytes_.data() + position_;
    position_ += size;
    return at;
  }

  std::span<const std::byte> bytes_;
  std::string file_;
  uint64_t position_ = 0;
};

}  // namespace ktx::loader
