// A cache of packed weights on disk, so that a second start neither reads nor packs the checkpoint.
//
// An entry is a file of packed bytes with a trailer that validates it, named by a digest of what
// the bytes were made from and how. It appears under that name only when it is complete and on disk
// (rename). A link beside it, named by the state of the checkpoint's files, points to the entry, so
// that the next start finds it without reading the checkpoint. If the link is missing (because the
// checkpoint was copied, say), the checkpoint is read once more, but the same content is not stored
// twice.
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

  /// Creates the directory if necessary and removes what killed writers left in it. Throws
  /// environment error when it can't be created.
  explicit WeightCache(std::filesystem::path directory);
  /// Does not wait: an entry that is being written is abandoned, and unwritten ones are left for
  /// another start.
  ~WeightCache();
  WeightCache(const WeightCache&) = delete;
  WeightCache& operator=(const WeightCache&) = delete;

  /// Maps the entry of `size` bytes for a state of the checkpoint; its first `size` bytes are the
  /// data. Nothing when there is none; a broken entry is logged.
  std::optional<base::MappedFile> find(const base::Digest& state, uint64_t size) const;

  /// Queues an entry and its link for writing by a background thread; an entry whose content is
  /// already stored is not written again. The pieces, stored one after another, must stay unchanged
  /// until they are written or the cache is destroyed. Failure (a full disk) is logged and leaves
  /// no file; the cache then accepts no more entries.
  void store_soon(const base::Digest& state, const base::Digest& content, Pieces data);

  /// Bytes written so far, and in total.
  using Progress = std::function<void(uint64_t done, uint64_t total)>;
  /// Waits until everything is written, calling progress (if given) ten times a second.
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
