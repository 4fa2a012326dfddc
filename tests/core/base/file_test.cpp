// Files: reading, mapping, writing, and their failures.
#include "core/base/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "core/base/failure.hpp"
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

// Fails every write beyond `bytes` with EFBIG, as a full disk fails it with ENOSPC.
struct FileSizeLimit {
  rlimit before{};
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit now{bytes, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, SIG_DFL);
  }
};

}  // namespace

TEST_CASE("what is written is read") {
  const TempDir folder;
  const auto file = folder.path() / "f";
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{65536}, size_t{65537}, size_t{3'000'000}}) {
    const auto text = pattern(size);
    write_file(file, text);
    REQUIRE(read_text(file) == text);
    REQUIRE(folder.file_count() == 1);
  }
}

TEST_CASE("reading what is no file") {
  const TempDir folder;
  const auto missing = folder.path() / "missing";
  REQUIRE(failure([&] { (void)read_text(missing); }) ==
          "input " + missing.string() + ": can't be read: No such file or directory");
  REQUIRE(failure([&] { (void)read_text(folder.path()); }) ==
          "input " + folder.path().string() + ": can't be read: Is a directory");
  struct stat status {};
  const auto opened = [&](const fs::path& file) {
    return failure([&] { ::close(open_regular_file(file, status)); });
  };
  REQUIRE(opened(missing) ==
          "input " + missing.string() + ": can't be opened: No such file or directory");
  REQUIRE(opened(folder.path()) == "input " + folder.path().string() + ": expected a regular file");
  REQUIRE(opened("/dev/null") == "input /dev/null: expected a regular file");
  const auto fifo = folder.path() / "pipe";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE(opened(fifo) ==  // and does not wait for a writer
          "input " + fifo.string() + ": expected a regular file");
}

TEST_CASE("a full disk is an environment error") {
  REQUIRE(failure([] { write_file("/dev/full", "x"); }) ==
          "environment /dev/full: can't be written: No space left on device");
  REQUIRE(failure([] { write_file("/dev/null", "x"); }) == "nothing thrown");
}

TEST_CASE("a failed write leaves the old file and no partial one") {
  const TempDir folder;
  const auto file = folder.path() / "f";
  write_file(file, "old");
  {
    const FileSizeLimit limit(4096);
    REQUIRE(failure([&] { write_file(file, pattern(100'000)); }) ==
            "environment " + file.string() + ": can't be written: File too large");
  }
  REQUIRE(read_text(file) == "old");
  REQUIRE(folder.file_count() == 1);
  write_file(file, "new");
  REQUIRE(read_text(file) == "new");
}

TEST_CASE("a target that can't be written leaves no partial file") {
  const TempDir folder;
  const auto directory = folder.path() / "directory";
  fs::create_directory(directory);
  REQUIRE(failure([&] { write_file(directory, "x"); }) ==
          "environment " + directory.string() + ": can't be written: Is a directory");
  REQUIRE(failure([&] { write_file(folder.path() / "no" / "f", "x"); }) ==
          "environment " + (folder.path() / "no" / "f").string() +
              ": can't be written: No such file or directory");
  REQUIRE(folder.file_count() == 1);
}

TEST_CASE("writing touches no other file of the folder") {
  const TempDir folder;
  write_file(folder.path() / "g.partial", "mine");
  write_file(folder.path() / "g", "x");
  REQUIRE(read_text(folder.path() / "g.partial") == "mine");
  REQUIRE(folder.file_count() == 2);
}

TEST_CASE("writers of one file at a time leave the text of one of them") {
  const TempDir folder;
  const auto file = folder.path() / "f";
  const std::string texts[] = {std::string(300'000, 'a'), std::string(200'000, 'b')};
  std::vector<std::thread> writers;
  for (const auto& text : texts)
    writers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) write_file(file, text);
    });
  for (auto& writer : writers) writer.join();
  const auto left = read_text(file);
  REQUIRE((left == texts[0] || left == texts[1]));
  REQUIRE(folder.file_count() == 1);
}

TEST_CASE("a replaced file's permissions stay") {
  const TempDir folder;
  const auto file = folder.path() / "f";
  for (const auto mode : {0600, 0640, 0666, 0755, 0444}) {
    write_file(file, "old");
    REQUIRE(::chmod(file.c_str(), static_cast<mode_t>(mode)) == 0);
    write_file(file, "new");
    struct stat status {};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == static_cast<mode_t>(mode));
    REQUIRE(read_text(file) == "new");
  }
}

TEST_CASE("writing through a link writes the file it names") {
  const TempDir folder;
  write_file(folder.path() / "real", "old");
  fs::create_symlink("real", folder.path() / "link");
  write_file(folder.path() / "link", "new");
  REQUIRE(fs::is_symlink(folder.path() / "link"));
  REQUIRE(read_text(folder.path() / "real") == "new");
  // A link that leads nowhere gives way to the file.
  fs::create_symlink("missing", folder.path() / "dangling");
  write_file(folder.path() / "dangling", "x");
  REQUIRE(read_text(folder.path() / "dangling") == "x");
}

TEST_CASE("pieces are written one after another") {
  const TempDir folder;
  write_file(folder.path() / "f", std::array<std::string_view, 4>{"ab", "", "c", "def"});
  REQUIRE(read_text(folder.path() / "f") == "abcdef");
}

TEST_CASE("what a killed writer left is removed, what is being written is not") {
  const TempDir folder;
  write_file(folder.path() / "kept", "x");
  const auto left = folder.path() / ".ktx-1-0.partial", busy = folder.path() / ".ktx-1-1.partial";
  write_file(left, "half");
  write_file(busy, "half");
  const int fd = ::open(busy.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  REQUIRE(::flock(fd, LOCK_EX | LOCK_NB) == 0);
  remove_partial_files(folder.path());
  CHECK_FALSE(fs::exists(left));
  CHECK(fs::exists(busy));
  ::close(fd);
  remove_partial_files(folder.path());
  CHECK_FALSE(fs::exists(busy));
  CHECK(fs::exists(folder.path() / "kept"));
  remove_partial_files(folder.path() / "no such folder");
}

TEST_CASE("a start that clears the folder takes no file whose writer has just made it") {
  const TempDir folder;
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) remove_partial_files(folder.path());
  });
  int taken = 0;
  for (int i = 0; i < 5000; ++i) {
    const PartialFile file(folder.path() / "f");
    taken += fs::is_empty(folder.path());
  }
  done = true;
  other.join();
  CHECK(taken == 0);
}

TEST_CASE("a partial file appears whole by commit, or not at all") {
  const TempDir folder;
  const auto file = folder.path() / "f";
  const auto bytes = [](std::string_view text) { return std::as_bytes(std::span(text)); };
  {
    PartialFile partial(file);
    partial.resize(10);
    partial.write(7, bytes("end"));
    partial.write(0, bytes("begin"));
    REQUIRE_FALSE(fs::exists(file));
    REQUIRE(folder.file_count() == 1);
    partial.commit();
    REQUIRE(read_text(file) == std::string("begin\0\0end", 10));
  }
  REQUIRE(folder.file_count() == 1);
  {
    PartialFile partial(file);
    partial.write(0, bytes("other"));
  }
  REQUIRE(read_text(file).size() == 10);
  REQUIRE(folder.file_count() == 1);
  REQUIRE(failure([&] { PartialFile(folder.path() / "no" / "f"); }) ==
          "environment " + (folder.path() / "no" / "f").string() +
              ": can't be written: No such file or directory");
  const FileSizeLimit limit(4096);
  PartialFile partial(file);
  REQUIRE(failure([&] { partial.resize(1'000'000); }) ==
          "environment " + file.string() + ": can't be written: File too large");
}
