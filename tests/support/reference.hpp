// Reference data for tests: where it is, and a reader of plain safetensors files that shares no
// code with the loader it helps to test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.hpp"

namespace ktx::test {

inline const std::filesystem::path source_dir = KTX_SOURCE_DIR;
inline const std::filesystem::path data_dir = KTX_TEST_DATA;
inline const std::filesystem::path shipped_model =
    source_dir / "examples/models/tiny-v3-Q4_K_M.gguf";

/// Data too large for the repository: $KTX_SHARED, or ../shared beside it; nothing when absent.
inline std::optional<std::filesystem::path> shared_dir() {
  const char* named = std::getenv("KTX_SHARED");
  const std::filesystem::path folder = named != nullptr ? named : source_dir / "../shared";
  if (std::filesystem::is_directory(folder / "models")) return folder;
  return std::nullopt;
}

inline std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// One safetensors file whose tensors are all 4 bytes a number.
class Reference {
 public:
  explicit Reference(const std::filesystem::path& file) : bytes_(read_bytes(file)) {
    uint64_t size = 0;
    std::memcpy(&size, bytes_.data(), sizeof size);
    header_ = Json::parse(bytes_.substr(8, size));
    data_ = 8 + size;
  }

  template <class T>
  std::vector<T> get(const std::string& name) const {
    static_assert(sizeof(T) == 4);
    const auto& offsets = header_.at(name).at("data_offsets");
    const auto begin = offsets[0].get<size_t>(), end = offsets[1].get<size_t>();
    std::vector<T> out((end - begin) / sizeof(T));
    std::memcpy(out.data(), bytes_.data() + data_ + begin, end - begin);
    return out;
  }

 private:
  std::string bytes_;
  Json header_;
  size_t data_ = 0;
};

/// ||a - b|| / ||b||; NaN never passes a comparison with it.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(difference / norm);
}

/// The median over rows of their relative errors: in small random models rounding sends some token
/// to another expert.
inline double median_error(std::span<const float> got, std::span<const float> expected,
                           size_t width) {
  if (got.size() != expected.size() || got.empty()) return INFINITY;
  std::vector<double> errors;
  for (size_t at = 0; at < got.size(); at += width)
    errors.push_back(relative_error(got.subspan(at, width), expected.subspan(at, width)));
  std::ranges::nth_element(errors, errors.begin() + std::ssize(errors) / 2);
  return errors[errors.size() / 2];
}

}  // namespace ktx::test
