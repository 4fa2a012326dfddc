// Tensors written by several threads.
#include "engine/synth/tensor_writer.hpp"

#include <filesystem>
#include <stdexcept>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
using namespace ktx::engine;

namespace {

/// Two tensors of more than a chunk with a gap between them.
TensorFile file() {
  TensorFile out;
  out.tensors = {{"a", {1000, 5000}, {.format = quant::Format::bf16, .parameter = 1}},
                 {"b", {300, 25'600}, {.format = quant::Format::q8_0, .parameter = 1}}};
  out.layout.header = "header";
  out.layout.offsets = {16, 10'000'032};
  out.layout.size = 10'000'032 + out.tensors[1].bytes();
  return out;
}

std::string written(const WriteOptions& options, const TensorFile& tensors = file()) {
  const test::TempDir folder;
  const auto path = folder.path() / "tensors";
  base::PartialFile out(path);
  write_tensors(out, tensors, options);
  out.commit();
  return base::read_text(path);
}

}  // namespace

TEST_CASE("what is written depends on seed and names, not on threads or place") {
  const std::string bytes = written({.seed = 1, .threads = 1});
  CHECK(bytes.size() == file().layout.size);
  CHECK(bytes.starts_with("header"));
  CHECK(bytes.substr(10'000'016, 16) == std::string(16, '\0'));
  CHECK(written({.seed = 1, .threads = 3}) == bytes);
  CHECK(written({.seed = 2, .threads = 3}).substr(16, 100) != bytes.substr(16, 100));

  TensorFile alone = file();
  alone.tensors.erase(alone.tensors.begin());
  alone.layout.offsets = {64};
  alone.layout.size = 64 + alone.tensors[0].bytes();
  CHECK(written({.seed = 1}, alone).substr(64) == bytes.substr(10'000'032));
}

TEST_CASE("every byte is reported; an exception from there comes out") {
  uint64_t sum = 0;
  (void)written({.threads = 3, .wrote = [&](uint64_t bytes) { sum += bytes; }});
  CHECK(sum == file().tensors[0].bytes() + file().tensors[1].bytes());

  const test::TempDir folder;
  base::PartialFile out(folder.path() / "tensors");
  int calls = 0;
  const auto stop = [&](uint64_t) {
    ++calls;
    throw std::runtime_error("enough");
  };
  CHECK_THROWS_WITH(write_tensors(out, file(), {.threads = 3, .wrote = stop}), "enough");
  CHECK(calls == 1);
}
