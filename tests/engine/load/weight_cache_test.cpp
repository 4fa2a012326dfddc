// Entries are found when they are whole, and only then.
#include "engine/load/weight_cache.hpp"

#include <cstring>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "ktx/error.hpp"
#include "ktx/log.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
using base::Digest;
using engine::WeightCache;
namespace fs = std::filesystem;

namespace {

struct Folder {
  const test::TempDir parent;
  const fs::path path = parent.path() / "cache";  // made by the cache
  std::vector<std::string> warnings;

  Folder() {
    set_log_sink([this](LogLevel, std::string_view message) { warnings.emplace_back(message); },
                 LogLevel::warning);
  }
  ~Folder() { set_log_sink({}); }

  std::vector<fs::path> files(const std::string& extension) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.path().extension() == extension) found.push_back(entry.path());
    return found;
  }
};

std::vector<std::byte> pattern(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

void store(const fs::path& folder, Digest state, Digest content,
           const std::vector<std::byte>& data) {
  WeightCache cache(folder);
  cache.store_soon(state, content, {data});
  cache.finish();
}

bool finds(const fs::path& folder, Digest state, const std::vector<std::byte>& data) {
  const auto entry = WeightCache(folder).find(state, data.size());
  return entry && std::memcmp(entry->bytes().data(), data.data(), data.size()) == 0;
}

const Digest state = base::digest("state"), content = base::digest("content"),
             other = base::digest("other state");

}  // namespace

TEST_CASE("what was stored is found again, by the state it was stored for") {
  Folder folder;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{10'000}}) {
    const auto data = pattern(size);
    const Digest of_size = base::digest("state " + std::to_string(size));
    store(folder.path, of_size, base::digest(std::to_string(size)), data);
    CHECK(finds(folder.path, of_size, data));
    CHECK_FALSE(WeightCache(folder.path).find(other, size));
  }
  CHECK(folder.warnings.empty());
}

TEST_CASE("equal content is stored once, for as many states as lead to it") {
  Folder folder;
  const auto data = pattern(5000);
  store(folder.path, state, content, data);
  const auto entry = folder.files(".packed").at(0);
  const auto written = fs::last_write_time(entry);
  store(folder.path, other, content, data);
  CHECK(folder.files(".packed").size() == 1);
  CHECK(fs::last_write_time(entry) == written);
  CHECK(finds(folder.path, other, data));
  CHECK(finds(folder.path, state, data));
}

TEST_CASE("damaged entries are refused with a warning, and made anew") {
  Folder folder;
  const auto data = pattern(5000);
  const auto damage = [&](const std::string& what, const auto& apply) {
    INFO(what);
    store(folder.path, state, content, data);
    REQUIRE(finds(folder.path, state, data));
    folder.warnings.clear();
    apply(folder.files(".packed").at(0), folder.files(".source").at(0));
    CHECK_FALSE(WeightCache(folder.path).find(state, data.size()));
    CHECK(folder.warnings.size() == 1);
  };
  const auto flip = [](const fs::path& file, size_t from_end) {
    auto text = base::read_text(file);
    text[text.size() - from_end] ^= 1;
    base::write_file(file, text);
  };
  damage("cut off", [](const auto& entry, const auto&) { fs::resize_file(entry, 4096); });
  damage("emptied", [](const auto& entry, const auto&) { fs::resize_file(entry, 0); });
  damage("longer",
         [](const auto& entry, const auto&) { fs::resize_file(entry, fs::file_size(entry) + 1); });
  for (size_t byte = 1; byte <= 80; ++byte)
    damage("bit of the trailer", [&](const auto& entry, const auto&) { flip(entry, byte); });
  damage("gone", [](const auto& entry, const auto&) { fs::remove(entry); });
  damage("link cut off", [](const auto&, const auto& link) { fs::resize_file(link, 63); });
  damage("link to nothing", [&](const auto&, const auto& link) { flip(link, 1); });
  damage("link out of the directory",
         [](const auto&, const auto& link) { base::write_file(link, "../../../etc/passwd"); });
  damage("another entry under its name", [&](const auto& entry, const auto&) {
    const Digest other_content = base::digest("other content");
    store(folder.path, other, other_content, data);
    fs::rename(folder.path / (other_content.hex() + ".packed"), entry);
  });
  store(folder.path, state, content, data);
  CHECK(finds(folder.path, state, data));
}

TEST_CASE("an entry of another size is not taken") {
  Folder folder;
  store(folder.path, state, content, pattern(5000));
  CHECK_FALSE(WeightCache(folder.path).find(state, 4999));
}

TEST_CASE("what a killed writer left is neither believed nor kept") {
  Folder folder;
  fs::create_directories(folder.path);
  base::write_file(folder.path / ".ktx-1-0.partial", "half an entry");
  const WeightCache cache(folder.path);
  CHECK(fs::is_empty(folder.path));
  CHECK_FALSE(cache.find(state, 13));
}

TEST_CASE("a cache that ends gives up what it has not written") {
  Folder folder;
  const auto data = pattern(size_t{1} << 20);
  const std::vector<std::byte> small(100);
  {
    WeightCache cache(folder.path);
    cache.store_soon(state, content, WeightCache::Pieces(10'000, data));  // 10 GB
    cache.store_soon(other, base::digest("small"), {small});
  }
  CHECK(fs::is_empty(folder.path));
  CHECK(folder.warnings.empty());
}

TEST_CASE("waiting tells how far writing is") {
  Folder folder;
  const auto data = pattern(size_t{1} << 20);
  uint64_t last = 0;
  WeightCache cache(folder.path);
  cache.store_soon(state, content, WeightCache::Pieces(300, data));
  cache.finish([&](uint64_t done, uint64_t total) {
    CHECK(total == 300 * data.size());
    CHECK(done >= last);
    CHECK(done <= total);
    last = done;
  });
  CHECK(cache.find(state, 300 * data.size()));
}

TEST_CASE("two writers of one entry do not disturb each other") {
  Folder folder;
  const auto data = pattern(3'000'000);
  WeightCache a(folder.path), b(folder.path);
  a.store_soon(state, content, {data});
  b.store_soon(state, content, {data});
  a.finish();
  b.finish();
  CHECK(folder.warnings.empty());
  CHECK(finds(folder.path, state, data));
  CHECK(folder.files(".packed").size() == 1);
}

TEST_CASE("a directory that can't be written is a warning; one that can't be made is an error") {
  Folder folder;
  {
    WeightCache cache(folder.path);
    fs::remove_all(folder.path);
    const auto data = pattern(10);
    cache.store_soon(state, content, {data});
    cache.finish();
    CHECK(folder.warnings.size() == 1);
  }
  base::write_file(folder.path, "a file");
  CHECK_THROWS_AS(WeightCache(folder.path), Error);
}
