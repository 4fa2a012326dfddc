// Arrays written and read back; failures that leave nothing behind.
#include "loader/safetensors_writer.hpp"

#include <cstring>

#include "catch.hpp"
#include "files.hpp"
#include "loader/safetensors_header.hpp"

namespace ktx::loader {
namespace {
namespace fs = std::filesystem;

TEST_CASE("arrays come back as they were written") {
  const TempDir dir;
  const fs::path file = dir.path() / "out.safetensors";
  const std::vector<float> logits{1.5f, -2, 0, 1e-30f, 3, 4};
  const std::vector<int32_t> ids{7, -1};
  const std::vector<NamedArray> arrays{{"logits", {2, 3}, std::span(logits)},
                                       {"quoted \"name\"", {2}, std::span(ids)}};
  write_safetensors(file, arrays);
  const SafetensorsFile back(file);
  REQUIRE(back.entries().size() == 2);
  CHECK(back.entries()[0].offset % 8 == 0);
  CHECK(back.entries()[0].dtype == "F32");
  CHECK(back.entries()[0].shape == std::vector<int64_t>{2, 3});
  CHECK(std::memcmp(back.bytes(*back.find("logits")).data(), logits.data(), 24) == 0);
  CHECK(back.find("quoted \"name\"")->dtype == "I32");
  CHECK(std::memcmp(back.bytes(back.entries()[1]).data(), ids.data(), 8) == 0);
}

TEST_CASE("nothing to write is a file without tensors") {
  const TempDir dir;
  write_safetensors(dir.path() / "out.safetensors", {});
  CHECK(SafetensorsFile(dir.path() / "out.safetensors").entries().empty());
}

TEST_CASE("values that don't fill their shape, and equal names, are bugs") {
  const TempDir dir;
  const std::vector<float> values{1, 2, 3};
  const auto write = [&](const std::vector<NamedArray>& arrays) {
    return message_of([&] { write_safetensors(dir.path() / "o", arrays); });
  };
  CHECK(write({{"a", {2}, std::span(values)}}) ==
        "bug: values of an array to write don't fill its shape [2]");
  CHECK(write({{"a", {3}, std::span(values)}, {"a", {3}, std::span(values)}}) ==
        "bug: two tensors to write have the same name");
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("a full disk is an environment error") {
  if (!fs::exists("/dev/full")) SKIP("this system has no /dev/full");
  const std::vector<float> values{1, 2, 3};
  const std::vector<NamedArray> arrays{{"a", {3}, std::span(values)}};
  const auto error = error_of([&] { write_safetensors("/dev/full", arrays); });
  REQUIRE(error);
  CHECK(std::string(error->what()) == "/dev/full: can't be written: No space left on device");
  CHECK(error->category() == ErrorCategory::environment);
}

TEST_CASE("a directory that is not there is an environment error and leaves nothing") {
  const TempDir dir;
  const auto error = error_of([&] { write_safetensors(dir.path() / "no" / "o", {}); });
  REQUIRE(error);
  CHECK(error->category() == ErrorCategory::environment);
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("a layout leaves tensors where a reader looks for them") {
  const std::vector<SafetensorsTensor> tensors{
      {"codes", "F8_E4M3", {3, 5}}, {"scales", "F32", {1, 1}}, {"rest", "BF16", {7}}};
  const FileLayout layout = safetensors_layout(tensors);
  const TempDir dir;
  std::string bytes = layout.header;
  bytes.resize(layout.size);
  const SafetensorsFile back(dir.write("f", bytes));
  REQUIRE(back.entries().size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(back.entries()[i].name == tensors[i].name);
    CHECK(back.entries()[i].dtype == tensors[i].dtype);
    CHECK(back.entries()[i].shape == tensors[i].shape);
    CHECK(back.entries()[i].offset == layout.offsets[i]);
  }
  CHECK(layout.size == layout.header.size() + 15 + 4 + 14);
  const auto write = [](const SafetensorsTensor& tensor) {
    return message_of([&] { (void)safetensors_layout({{tensor}}); });
  };
  CHECK(write({"a", "Q4", {2}}) == "bug: a tensor to write can't be Q4 [2]");
  CHECK(write({"a", "F32", {-2}}) == "bug: a tensor to write can't be F32 [-2]");
}

}  // namespace
}  // namespace ktx::loader
