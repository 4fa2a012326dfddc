// Pieces of files, cached or not.
#include "core/base/file_reader.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/file.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
using namespace ktx::base;
using test::failure;
namespace fs = std::filesystem;

namespace {

constexpr size_t file_size = 100'001;  // ends inside a page

struct File {
  const test::TempDir folder;
  const fs::path path = folder.path() / "file";
  std::string bytes;

  File() {
    for (size_t i = 0; i < file_size; ++i) bytes += static_cast<char>(i * 2654435761u >> 13);
    write_file(path, bytes);
  }

  // write_file has synced it, so that the page cache may forget it.
  void drop_from_cache() const {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
};

void check_pieces(const File& file, const FileReader& reader) {
  for (const size_t offset : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, file_size - 5000})
    for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{5000}}) {
      std::vector<std::byte> scratch(reader.scratch_bytes(offset, size));
      const std::byte* got = reader.read(offset, size, scratch);
      INFO(offset << " " << size);
      CHECK(std::memcmp(got, file.bytes.data() + offset, size) == 0);
      CHECK(reinterpret_cast<uintptr_t>(got) % 4096 == offset % 4096);
      CHECK(got >= scratch.data());
      CHECK(got + size <= scratch.data() + scratch.size());
    }
}

}  // namespace

TEST_CASE("any piece, out of the page cache and past it, from any thread's scratch") {
  const File file;
  const FileReader reader(file.path);
  file.drop_from_cache();
  check_pieces(file, reader);
  REQUIRE(read_text(file.path) == file.bytes);  // now it is cached
  check_pieces(file, reader);
}

TEST_CASE("past the end is an input error; a file that grew is read as far as asked") {
  const File file;
  const FileReader reader(file.path);
  std::vector<std::byte> scratch(reader.scratch_bytes(0, 10));
  CHECK(failure([&] { reader.read(file_size - 9, 10, scratch); }) ==
        "input " + file.path.string() +
            ": the file ends after 100001 bytes: expected at least 100002, as when "
            "it was opened");
  fs::resize_file(file.path, 50);
  CHECK(failure([&] { reader.read(45, 10, scratch); }) ==
        "input " + file.path.string() +
            ": the file ends after 50 bytes: expected at least 55, as when it was opened");
  std::vector<std::byte> copied(10);
  CHECK(failure([&] { reader.copy(45, copied); }) ==
        "input " + file.path.string() +
            ": the file ends after 50 bytes: expected at least 55, as when it was opened");
  scratch.pop_back();
  CHECK_THROWS_AS(reader.read(0, 10, scratch), Error);
}

TEST_CASE("a header is copied") {
  const File file;
  const FileReader reader(file.path);
  CHECK(reader.size() == file_size);
  CHECK(reader.path() == file.path);
  std::vector<std::byte> copied(5000);
  reader.copy(file_size - 5000, copied);
  CHECK(std::memcmp(copied.data(), file.bytes.data() + file_size - 5000, 5000) == 0);
  CHECK(failure([] { FileReader("/dev/null"); }) == "input /dev/null: expected a regular file");
}

TEST_CASE("the stamp changes with the file") {
  const File file;
  const auto stamp = [&] { return FileReader(file.path).stamp(); };
  const std::string before = stamp();
  CHECK(before == stamp());
  const auto time = fs::last_write_time(file.path);
  write_file(file.path, file.bytes);  // the same size, and then the same time of writing
  fs::last_write_time(file.path, time);
  CHECK(before != stamp());
}

TEST_CASE("the stamp is that of one file, by whichever way it is reached") {
  const File file;
  const auto link = fs::path(file.path).concat(".link"),
             other = fs::path(file.path).concat(".twin");
  const std::string stamp = FileReader(file.path).stamp();
  fs::create_symlink(file.path, link);
  CHECK(FileReader(link).stamp() == stamp);
  CHECK(FileReader(file.path.parent_path() / "." / file.path.filename()).stamp() == stamp);
  fs::remove(link);
  fs::create_hard_link(file.path, other);  // of equal size and times, as shards may be
  CHECK(FileReader(other).stamp() != FileReader(file.path).stamp());
}
