// Entries and links of the cache directory.
#include "engine/load/weight_cache.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/log.hpp"
#include "core/base/text.hpp"

namespace ktx::engine {
namespace fs = std::filesystem;

namespace {

constexpr size_t page = 4096;

// Ends an entry's file, at the first page boundary behind the data; little-endian, like the data.
struct Trailer {
  std::array<char, 8> magic{'k', 't', 'x', 'p', 'a', 'c', 'k', '2'};
  uint64_t data_size = 0;
  base::Digest content;
  base::Digest check;  // of all before

  std::string_view bytes() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }
  base::Digest expected_check() const {
    return base::digest(bytes().substr(0, offsetof(Trailer, check)));
  }
};
static_assert(sizeof(Trailer) == 80, "no padding");

uint64_t trailer_offset(uint64_t data_size) {
  return (data_size + page - 1) / page * page;
}

void warn(const fs::path& file, const std::string& message) {
  base::log(LogLevel::warning, file.string() + ": " + message);
}

// What is wrong with an entry; empty when nothing is.
std::string defect(const base::MappedFile& entry, uint64_t data_size, const std::string& name) {
  const auto bytes = entry.bytes();
  const uint64_t expected = trailer_offset(data_size) + sizeof(Trailer);
  if (bytes.size() != expected)
    return "expected " + std::to_string(expected) + " bytes, found " + std::to_string(bytes.size());
  Trailer trailer;
  std::memcpy(&trailer, bytes.data() + trailer_offset(data_size), sizeof trailer);
  if (trailer.magic != Trailer{}.magic || trailer.check != trailer.expected_check())
    return "its trailer is damaged";
  if (trailer.data_size != data_size || trailer.content.hex() != name)
    return "it holds something else than its name says";
  return {};
}

}  // namespace

WeightCache::WeightCache(fs::path directory) : directory_(std::move(directory)) {
  std::error_code ec;
  fs::create_directories(directory_, ec);
  if (std::error_code none; !fs::is_directory(directory_, none))
    throw_environment("no directory for packed weights can be made: " + ec.message(),
                      directory_.string());
  base::remove_partial_files(directory_);
}

fs::path WeightCache::entry_path(const base::Digest& content) const {
  return directory_ / (content.hex() + ".packed");
}

fs::path WeightCache::link_path(const base::Digest& state) const {
  return directory_ / (state.hex() + ".source");
}

std::optional<base::MappedFile> WeightCache::find(const base::Digest& state, uint64_t size) const {
  const fs::path link = link_path(state);
  std::error_code ec;
  if (!fs::exists(link, ec)) return std::nullopt;
  fs::path file = link;
  try {
    const std::string name = base::read_text(link);
    const bool is_digest = name.size() == base::Digest{}.hex().size() &&
                           name.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!is_digest) throw_input("expected the name of an entry", link.string());
    file = directory_ / (name + ".packed");
    base::MappedFile entry(file);
    const std::string problem = defect(entry, size, name);
    if (problem.empty()) return entry;
    warn(file, problem + "; it is written again");
    fs::remove(file, ec);
  } catch (const Error& e) {
    warn(file, "can't be used and is written again: " + e.message());
  }
  return std::nullopt;
}

uint64_t WeightCache::Entry::size() const noexcept {
  uint64_t size = 0;
  for (const auto& piece : data) size += piece.size();
  return size;
}

// False when the cache ends meanwhile.
bool WeightCache::write(const Entry& entry, const fs::path& file) {
  constexpr size_t step = size_t{8} << 20;
  base::PartialFile out(file);
  uint64_t at = 0;
  for (auto piece : entry.data)
    while (!piece.empty()) {
      if (stopped_) return false;
      const auto part = piece.first(std::min(step, piece.size()));
      out.write(at, part);
      piece = piece.subspan(part.size());
      at += part.size();
      done_ += part.size();
    }
  Trailer trailer{.data_size = at, .content = entry.content};
  trailer.check = trailer.expected_check();
  out.write(trailer_offset(at), std::as_bytes(std::span(trailer.bytes())));
  out.commit();
  return true;
}

bool WeightCache::store(const Entry& entry) {
  const fs::path file = entry_path(entry.content);
  const std::string name = entry.content.hex();
  std::error_code ec;
  if (fs::exists(file, ec) && defect(base::MappedFile(file), entry.size(), name).empty())
    done_ += entry.size();
  else if (!write(entry, file))
    return false;
  base::write_file(link_path(entry.state), name);
  return true;
}

// The writer's thread: until the cache ends or something fails.
void WeightCache::write_entries() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    const Entry& entry = waiting_.front();  // others are only added behind it
    lock.unlock();
    try {
      if (!store(entry)) return;
    } catch (const std::exception& e) {
      warn(directory_, std::string("packed weights are not cached: ") + e.what());
      lock.lock();
      failed_ = true;
      waiting_.clear();
      changed_.notify_all();
      return;
    }
    lock.lock();
    waiting_.pop_front();
    changed_.notify_all();
  }
}

void WeightCache::store_soon(const base::Digest& state, const base::Digest& content, Pieces data) {
  const std::lock_guard lock(mutex_);
  if (failed_) return;
  if (!writer_.joinable()) writer_ = std::thread([this] { write_entries(); });
  waiting_.push_back({state, content, std::move(data)});
  total_ += waiting_.back().size();
  changed_.notify_all();
}

void WeightCache::finish(const Progress& progress) {
  std::unique_lock lock(mutex_);
  while (
      !changed_.wait_for(lock, std::chrono::milliseconds(100), [this] { return waiting_.empty(); }))
    if (progress) progress(done_, total_);
}

WeightCache::~WeightCache() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
}

}  // namespace ktx::engine
