// Packed weights on disk, so that a second start need neither read nor pack the checkpoint.
//
// An entry is a file of packed bytes and a trailer that vouches for them, named by the digest of
// what the bytes were made from and how. It appears under that name only when it is whole and on
// the disk (rename). A link beside it, named by the state of the checkpoint's files, says which
// entry they lead to: with it the next start finds its entries without reading the checkpoint;
// where it is missing (the checkpoint was copied, say), the checkpoint is read once more, and what
// has the same content is not stored twice.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/mapped_file.hpp"

namespace ktx::engine {

class WeightCache {
 public:
  using Pieces = std::vector<std::span<const std::byte>>;

  /// Makes the directory if need be and removes what killed writers left in it. Throws environment
  /// error when it can't be made.
  explicit WeightCache(std::filesystem::path directory);
  /// Does not wait: an entry that is being written is given up, it and the others are left for
  /// another start.
  ~WeightCache();
  WeightCache(const WeightCache&) = delete;
  WeightCache& operator=(const WeightCache&) = delete;

  /// The entry of `size` bytes that a state of the checkpoint leads to, mapped; its first `size`
  /// bytes are the data. Nothing when there is none; one that is broken is logged.
  std::optional<base::MappedFile> find(const base::Digest& state, uint64_t size) const;

  /// Writes an entry, unless there is one of that content, and the link to it, on a thread of its
  /// own; the pieces of data, stored one after another, must stay as they are until then or the
  /// cache's end. Failure (a full disk) is logged and leaves no file; the cache then takes no more
  /// entries.
  void store_soon(const base::Digest& state, const base::Digest& content, Pieces data);

  /// Bytes written of those that there are to write.
  using Progress = std::function<void(uint64_t done, uint64_t total)>;
  /// Waits until all is written, calling progress (if there is one) ten times a second.
  void finish(const Progress& progress = {});

 private:
  struct Entry {
    base::Digest state, content;
    Pieces data;
    uint64_t size() const noexcept;
  };
  void write_entries();
  bool store(const Entry& entry);
  bool write(const Entry& entry, const std::filesystem::path& file);
  std::filesystem::path entry_path(const base::Digest& content) const;
  std::filesystem::path link_path(const base::Digest& state) const;

  std::filesystem::path directory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> waiting_;  // the first one is being written
  uint64_t total_ = 0;         // bytes of all entries so far
  bool failed_ = false;        // no more entries are taken
  std::atomic<uint64_t> done_{0};
  std::atomic<bool> stopped_{false};
  std::thread writer_;
};

}  // namespace ktx::engine
