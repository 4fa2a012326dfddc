// Rows of tensors: as stored, moved when misaligned, made by an assembly.
#include "loader/file_source.hpp"

#include <cstring>

#include "catch.hpp"
#include "core/base/file_reader.hpp"
#include "core/base/mapped_file.hpp"
#include "files.hpp"
#include "loader/safetensors_header.hpp"

namespace ktx::loader {
namespace {

// A source over one file; ranges are into its bytes.
FileSource source_over(const TempDir& dir, const std::string& bytes,
                       std::vector<FileTensor> tensors, bool header_only = false) {
  CheckpointContents contents;
  contents.path = dir.path();
  contents.header_only = header_only;
  contents.files.push_back(std::make_unique<base::FileReader>(dir.write("data", bytes)));
  contents.tensors = std::move(tensors);
  contents.unlisted.emplace("odd", "has dtype I64");
  return FileSource(std::move(contents));
}

FileTensor tensor(const std::string& name, quant::Format format, std::vector<int64_t> shape,
                  FileRange data) {
  return {{name, format, std::move(shape), "data"}, data};
}

std::string random_bytes(size_t n) {
  Random random(n);
  std::string bytes;
  while (bytes.size() < n) bytes += static_cast<char>(random.next());
  return bytes;
}

bool are(const std::vector<std::byte>& rows, const std::string& bytes, size_t offset, size_t size) {
  return rows.size() == size && std::memcmp(rows.data(), bytes.data() + offset, size) == 0;
}

TEST_CASE("tensor names without a line of their own are refused") {
  const TempDir dir;
  for (const char* name : {"a\nb", "\x1b[31m"})
    CHECK(message_of([&] {
            source_over(dir, "", {tensor(name, quant::Format::f32, {}, {})}, true);
          }).ends_with("': its name has control characters"));
}

TEST_CASE("more tensors or weights than any checkpoint has are refused") {
  const TempDir dir;
  const auto error = [&](std::vector<FileTensor> tensors) {
    const auto thrown = error_of([&] { source_over(dir, "", std::move(tensors), true); });
    return thrown ? thrown->message() : "no error";
  };
  const auto huge = [](const char* name) {
    return tensor(name, quant::Format::f32, {1 << 24, 1 << 23}, {});  // 2^47
  };
  CHECK(error({huge("a"), huge("b")}) == "no error");
  CHECK(error({huge("a"), huge("b"), tensor("c", quant::Format::f32, {1}, {})}) ==
        "expected at most 281474976710656 weights in all tensors, found more at tensor 'c'");
  // Of 200 tensors of 2^56 weights the sum would not fit 64 bits.
  CHECK(error(std::vector(200, tensor("t", quant::Format::f32, {1 << 28, 1 << 28}, {}))) ==
        "expected at most 281474976710656 weights in all tensors, found more at tensor 't'");
  CHECK(error(std::vector((1 << 20) + 1, tensor("t", quant::Format::f32, {}, {}))) ==
        "expected at most 1048576 tensors, found 1048577");
}

TEST_CASE("rows are the bytes of the file") {
  const TempDir dir;
  const std::string bytes = random_bytes(1024);
  const FileSource source = source_over(dir, bytes,
                                        {tensor("f", quant::Format::f32, {3, 2, 8}, {0, 64, 192}),
                                         tensor("q", quant::Format::q8_0, {2, 64}, {0, 257, 136}),
                                         tensor("v", quant::Format::bf16, {16}, {0, 2, 32}),
                                         tensor("s", quant::Format::f32, {}, {0, 4, 4})});
  const auto* f = source.find("f");
  REQUIRE(f != nullptr);
  CHECK(matrix_rows(*f) == 6);
  CHECK(matrix_cols(*f) == 8);
  CHECK(source.tensor_bytes(*f) == 192);
  CHECK(are(read_rows(source, *f, 2, 3), bytes, 64 + 2 * 32, 96));
  CHECK(are(read_rows(source, *f, 0, 6), bytes, 64, 192));
  // Rows of blocks may start anywhere.
  CHECK(are(read_rows(source, *source.find("q"), 1, 1), bytes, 257 + 68, 68));
  CHECK(are(read_rows(source, *source.find("v"), 0, 1), bytes, 2, 32));
  CHECK(matrix_rows(*source.find("s")) == 1);
  CHECK(are(read_rows(source, *source.find("s"), 0, 1), bytes, 4, 4));
}

TEST_CASE("misaligned floats are moved to where they are aligned") {
  const TempDir dir;
  const std::string bytes = random_bytes(256);
  const FileSource source = source_over(dir, bytes,
                                        {tensor("f", quant::Format::f32, {4, 2}, {0, 2, 32}),
                                         tensor("h", quant::Format::f16, {4, 2}, {0, 65, 16})});
  for (const auto& meta : source.tensors()) {
    std::vector<std::byte> scratch(source.scratch_bytes(meta, 1, 2));
    const std::byte* rows = source.rows(meta, 1, 2, scratch);
    const size_t row = meta.name == "f" ? 8 : 4, offset = meta.name == "f" ? 2 : 65;
    CHECK(reinterpret_cast<uintptr_t>(rows) % (row / 2) == 0);
    CHECK(std::memcmp(rows, bytes.data() + offset + row, 2 * row) == 0);
  }
}

TEST_CASE("a tensor's stamp tells where its bytes lie in which state of the file") {
  const TempDir dir;
  const auto open = [&](const std::string& bytes) {
    return source_over(dir, bytes,
                       {tensor("a", quant::Format::f32, {4}, {0, 0, 16}),
                        tensor("b", quant::Format::f32, {4}, {0, 16, 16})});
  };
  const std::string bytes = random_bytes(64);
  const FileSource source = open(bytes);
  const std::string a = source.stamp(*source.find("a"));
  CHECK(a != source.stamp(*source.find("b")));
  const FileSource same({.path = dir.path(),
                         .files =
                             [&] {
                               std::vector<std::unique_ptr<const base::ByteSource>> files;
                               files.push_back(
                                   std::make_unique<base::FileReader>(dir.path() / "data"));
                               return files;
                             }(),
                         .tensors = {tensor("a", quant::Format::f32, {4}, {0, 0, 16})}});
  CHECK(same.stamp(*same.find("a")) == a);
  const FileSource longer = open(bytes + "x");
  CHECK(longer.stamp(*longer.find("a")) != a);
}

TEST_CASE("a file cut off after it was opened is an input error, not a signal") {
  const TempDir dir;
  const FileSource source = source_over(
      dir, random_bytes(1 << 20), {tensor("a", quant::Format::f32, {256, 1024}, {0, 0, 1u << 20})});
  std::filesystem::resize_file(dir.path() / "data", 5000);
  CHECK(read_rows(source, source.tensors()[0], 0, 1).size() == 4096);
  CHECK(
      message_of([&] { read_rows(source, source.tensors()[0], 255, 1); }) ==
      "input: the file ends after 1044480 bytes: expected at least 1048576, as when it was opened");
}

// Rows of ones, made from a byte each.
class Ones final : public Assembly {
 public:
  quant::Format format() const noexcept override { return quant::Format::f32; }
  size_t scratch_bytes(int64_t, int64_t rows) const override {
    return static_cast<size_t>(rows) * 8;
  }
  const std::byte* rows(int64_t, int64_t rows, std::span<std::byte> scratch) const override {
    const float one = 1;
    for (int64_t i = 0; i < 2 * rows; ++i) std::memcpy(scratch.data() + i * 4, &one, 4);
    return scratch.data();
  }
  std::vector<FileRange> ranges() const override { return {{0, 3, 5}, {0, 60, 2}}; }
};

TEST_CASE("rows that an assembly makes") {
  const TempDir dir;
  const auto source = [&](size_t bytes, bool header_only) {
    auto made = tensor("w", quant::Format::f32, {5, 2}, {});
    made.assembly = std::make_shared<Ones>();
    return source_over(dir, random_bytes(bytes), {made}, header_only);
  };
  const FileSource whole = source(64, false);
  const auto rows = read_rows(whole, *whole.find("w"), 1, 3);
  CHECK(rows.size() == 24);
  CHECK(whole.stamp(*whole.find("w")).find(" 60 2\n") != std::string::npos);
  const FileSource cut = source(61, true);
  CHECK(message_of([&] { read_rows(cut, *cut.find("w"), 0, 1); }) ==
        "input: the file ends before the data of tensor 'w', which is needed");
}

TEST_CASE("what callers may not ask for is a bug error") {
  const TempDir dir;
  const FileSource source = source_over(dir, random_bytes(256),
                                        {tensor("f", quant::Format::f32, {4, 2}, {0, 0, 32}),
                                         tensor("m", quant::Format::f32, {4, 2}, {0, 33, 32})});
  const auto& f = *source.find("f");
  for (const auto& [first, count] :
       {std::pair<int64_t, int64_t>{-1, 1}, {0, -1}, {0, 5}, {4, 1}, {INT64_MAX, INT64_MAX}})
    CHECK(message_of([&, a = first, n = count] { source.rows(f, a, n, {}); }) ==
          "bug: rows outside of the tensor");
  CHECK(read_rows(source, f, 4, 0).empty());
  std::vector<std::byte> small(source.scratch_bytes(*source.find("m"), 0, 4) - 1);
  CHECK(message_of([&] { source.rows(*source.find("m"), 0, 4, small); }) ==
        "bug: scratch too small for the rows");
  const graph::TensorMeta other{"other", quant::Format::f32, {1}, ""};
  CHECK(message_of([&] { source.rows(other, 0, 1, {}); }) ==
        "bug: not a tensor of this checkpoint");
  CHECK(source.find("other") == nullptr);
  CHECK(source.why_missing("other") == "is not in the checkpoint");
  CHECK(source.why_missing("odd") == "has dtype I64");
}

TEST_CASE("a source opened for its header only gives no rows") {
  const TempDir dir;
  const FileSource source = source_over(
      dir, "", {tensor("f", quant::Format::f32, {1 << 20, 1 << 20}, {0, 0, 1ull << 42})}, true);
  const auto& f = *source.find("f");
  CHECK(source.tensor_bytes(f) == 1ull << 42);
  CHECK(message_of([&] { source.rows(f, 0, 1, {}); }) ==
        "input: the file ends before the data of tensor 'f', which is needed");
}

// Bytes of a file's mapping that are in this process's memory, from /proc/self/smaps.
int64_t resident_kib(const std::filesystem::path& file) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  int64_t kib = 0;
  while (std::getline(maps, line)) {
    const size_t dash = line.find('-'), colon = line.find(':');
    if (dash < 20 && dash < line.find(' ')) inside = line.find(file.string()) != std::string::npos;
    if (inside && colon == 3 && line.compare(0, 3, "Rss") == 0) kib += std::stoll(line.substr(4));
  }
  return kib;
}

TEST_CASE("neither the header nor rows that were read stay in this process's memory") {
  const TempDir dir;
  const std::string bytes = random_bytes(4 << 20);
  dir.write("data", bytes);
  {
    const base::MappedFile touched(dir.path() / "data");
    CHECK(touched.bytes()[12345] == static_cast<std::byte>(bytes[12345]));
    CHECK(resident_kib(dir.path() / "data") > 0);
  }
  const FileSource source =
      source_over(dir, bytes, {tensor("a", quant::Format::f32, {1024, 1024}, {0, 0, 4u << 20})});
  const auto rows = read_rows(source, source.tensors()[0], 0, 1024);
  CHECK(std::memcmp(rows.data(), bytes.data(), bytes.size()) == 0);
  CHECK(resident_kib(dir.path() / "data") == 0);
}

}  // namespace
}  // namespace ktx::loader
