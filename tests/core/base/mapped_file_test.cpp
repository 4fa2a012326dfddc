// Mappings: their bytes, and which file lies at an address.
#include "core/base/mapped_file.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/file.hpp"
#include "ktx/mapped_file.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
using namespace ktx::base;
using test::failure;
using test::TempDir;
namespace fs = std::filesystem;

namespace {

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 + i / 4096);
  return text;
}

bool equal(const MappedFile& mapped, const std::string& text) {
  return std::equal(mapped.bytes().begin(), mapped.bytes().end(),
                    reinterpret_cast<const std::byte*>(text.data()),
                    reinterpret_cast<const std::byte*>(text.data()) + text.size());
}

}  // namespace

TEST_CASE("a mapping holds the file's bytes") {
  const TempDir folder;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{65537}}) {
    const auto text = pattern(size);
    write_file(folder.path() / "f", text);
    const MappedFile mapped(folder.path() / "f");
    CHECK(mapped.path() == folder.path() / "f");
    CHECK(equal(mapped, text));
  }
  CHECK(failure([&] { MappedFile{folder.path()}; }) ==
        "input " + folder.path().string() + ": expected a regular file");
}

TEST_CASE("a mapping moves") {
  const TempDir folder;
  write_file(folder.path() / "f", "content");
  write_file(folder.path() / "g", "other");
  MappedFile a(folder.path() / "f");
  MappedFile b(std::move(a));
  REQUIRE(a.bytes().empty());  // NOLINT(bugprone-use-after-move): what a move leaves is stated
  REQUIRE(b.bytes().size() == 7);
  MappedFile c(folder.path() / "g");
  c = std::move(b);
  REQUIRE(c.bytes().size() == 7);
  REQUIRE(c.bytes()[0] == std::byte{'c'});
  REQUIRE(c.path() == folder.path() / "f");
  REQUIRE(MappedFile().bytes().empty());
}

TEST_CASE("an address leads to the file mapped there, as long as it is") {
  const TempDir folder;
  const std::string names[] = {(folder.path() / "f").string(), (folder.path() / "g").string()};
  for (const auto& name : names) write_file(name, pattern(5000));
  const auto name_at = [](const void* address) {
    const char* name = mapped_file_at(address);
    return std::string(name == nullptr ? "none" : name);
  };
  CHECK(name_at(&folder) == "none");
  CHECK(name_at(nullptr) == "none");
  MappedFile f(names[0]);
  MappedFile kept;
  const std::byte* at = f.bytes().data();
  {
    const MappedFile g(names[1]);
    CHECK(name_at(at) == names[0]);
    CHECK(name_at(at + 4999) == names[0]);
    CHECK(name_at(g.bytes().data()) == names[1]);
    kept = std::move(f);
    CHECK(name_at(at) == names[0]);
  }
  for (int i = 0; i < 10; ++i) {  // ended ones leave their place in the list
    const MappedFile g(names[1]);
    CHECK(name_at(g.bytes().data()) == names[1]);
    CHECK(name_at(at) == names[0]);
  }
  kept = MappedFile();
  CHECK(name_at(at) == "none");
}

TEST_CASE("populating changes nothing, in or out of range") {
  const TempDir folder;
  const auto text = pattern(50'000);
  write_file(folder.path() / "f", text);
  const MappedFile mapped(folder.path() / "f");
  const size_t sizes[] = {0, 1, 4095, 4096, 12'345, 50'000, 1'000'000, SIZE_MAX / 2, SIZE_MAX};
  for (const size_t offset : sizes)
    for (const size_t size : sizes) mapped.populate(offset, size);
  mapped.prefer_huge_pages();
  CHECK(equal(mapped, text));
  MappedFile().populate(0, 10);
  MappedFile().prefer_huge_pages();
}
