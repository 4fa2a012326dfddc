// The KV cache of all sessions: pages of 64 tokens, handed out to sequences as they grow.
//
// A page number stands for 64 tokens in every layer. Sequences may share pages: a fork begins with
// the pages of the sequence that it came from, and whoever writes into a shared page gets a copy
// first.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "core/graph/kv_row.hpp"
#include "core/hw/machine.hpp"
#include "ops/attention/kv_pages.hpp"

namespace ktx::engine {

/// Safe to use from several threads, each of which uses sequences of its own.
class KvStore {
 public:
  /// rows[i]: what cache i keeps of a token; gpus[i]: the queue of the GPU that it lies on, null:
  /// on the CPU, as all do when gpus is empty. The CPU's memory is touched only as tokens come; on
  /// several NUMA nodes it is interleaved. Throws environment error when there is not enough.
  KvStore(std::span<const graph::KvRow> rows, graph::KvFormat format, int64_t pages,
          const hw::Machine& machine, std::span<device::Queue* const> gpus = {});

  /// All pages of cache i.
  ops::KvPages cache(int i) noexcept;
  int64_t pages() const noexcept { return static_cast<int64_t>(users_.size()); }
  int64_t free_pages() const;

 private:
  friend class KvSequence;
  bool take(int64_t count, std::vector<int32_t>& pages);
  void share(std::span<const int32_t> pages);
  void release(std::span<const int32_t> pages);
  bool is_shared(int32_t page) const;
  void copy(int32_t from, int32_t to) noexcept;

  struct Cache {
    graph::KvRow row;
    int64_t row_bytes = 0;
    std::byte* data = nullptr;
    device::Queue* gpu = nullptr;
  };
  graph::KvFormat format_;
  std::vector<Cache> caches_;
  base::Buffer memory_;
  std::vector<device::Block> gpu_memory_;
  mutable std::mutex mutex_;    // guards what follows
  std::vector<int32_t> users_;  // [pages] sequences that hold each
  std::vector<int32_t> free_;   // pages without users, the next one last
};

/// The pages of one sequence. Its tokens are counted by whoever computes them.
class KvSequence {
 public:
  explicit KvSequence(KvStore& store) noexcept : store_(&store) {}
  ~KvSequence() { clear(); }
  KvSequence(KvSequence&& other) noexcept;
  KvSequence& operator=(KvSequence&&) = delete;

  int64_t tokens() const noexcept { return tokens_; }
  const int32_t* pages() const noexcept { return pages_.data(); }

  /// Makes room for `tokens` tokens in all, in pages that no other sequence holds from the next
  /// token on. False, and nothing has changed, when too few pages are free.
  bool reserve(int64_t tokens);
  /// Tokens that have been written into reserved pages.
  void append(int64_t tokens) noexcept { tokens_ += tokens; }
  /// Forgets all tokens from `tokens` on (0 to tokens()) and gives back what they and unused room
  /// took.
  void rewind(int64_t tokens);
  /// Gives back room that no token has taken.
  void trim() { rewind(tokens_); }
  /// A sequence that begins with the first `tokens` tokens (0 to tokens()) of this one.
  KvSequence fork(int64_t tokens) const;

 private:
  void clear() noexcept;

  KvStore* store_;
  std::vector<int32_t> pages_;
  int64_t tokens_ = 0;
};

}  // namespace ktx::engine
