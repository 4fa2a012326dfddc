// Reference counts of pages, and the list of free ones.
#include "engine/run/kv_store.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "core/base/error.hpp"
#include "engine/load/node_memory.hpp"

namespace ktx::engine {

using graph::page_tokens;
using graph::pages_of;

KvStore::KvStore(std::span<const graph::KvRow> rows, graph::KvFormat format, int64_t pages,
                 const hw::Machine& machine, std::span<device::Queue* const> gpus)
    : format_(format), users_(static_cast<size_t>(pages), 0) {
  std::map<device::Queue*, size_t> sizes{{nullptr, 0}};
  const auto bytes = [&](const Cache& cache) {
    return static_cast<size_t>(pages * page_tokens * cache.row_bytes);
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    caches_.push_back({.row = rows[i],
                       .row_bytes = graph::row_bytes(format, rows[i]),
                       .gpu = gpus.empty() ? nullptr : gpus[i]});
    sizes[caches_.back().gpu] += bytes(caches_.back());
  }
  for (const auto& [gpu, size] : sizes) {
    std::byte* data = nullptr;
    if (gpu == nullptr) {
      memory_ = base::Buffer(size, true);
      interleave(memory_, machine);
      data = memory_.data();
    } else {
      gpu_memory_.push_back(device::alloc(gpu->place(), size));
      data = gpu_memory_.back().data();
    }
    for (auto& cache : caches_)
      if (cache.gpu == gpu) cache.data = std::exchange(data, data + bytes(cache));
  }
  for (int64_t page = pages; page-- > 0;) free_.push_back(static_cast<int32_t>(page));
}

ops::KvPages KvStore::cache(int i) noexcept {
  const Cache& cache = caches_[static_cast<size_t>(i)];
  return {.data = cache.data, .format = format_, .row = cache.row, .row_bytes = cache.row_bytes};
}

int64_t KvStore::free_pages() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(free_.size());
}

// Appends `count` pages, or none when there are too few.
bool KvStore::take(int64_t count, std::vector<int32_t>& pages) {
  const std::lock_guard lock(mutex_);
  if (count > static_cast<int64_t>(free_.size())) return false;
  for (; count > 0; --count) {
    users_[static_cast<size_t>(free_.back())] = 1;
    pages.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

void KvStore::share(std::span<const int32_t> pages) {
  const std::lock_guard lock(mutex_);
  for (const int32_t page : pages) ++users_[static_cast<size_t>(page)];
}

void KvStore::release(std::span<const int32_t> pages) {
  const std::lock_guard lock(mutex_);
  for (const int32_t page : pages)
    if (--users_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

bool KvStore::is_shared(int32_t page) const {
  const std::lock_guard lock(mutex_);
  return users_[static_cast<size_t>(page)] > 1;
}

void KvStore::copy(int32_t from, int32_t to) noexcept {
  for (const Cache& cache : caches_) {
    const int64_t bytes = page_tokens * cache.row_bytes;
    std::byte* pages = cache.data;
    if (cache.gpu != nullptr)
      cache.gpu->copy(pages + to * bytes, pages + from * bytes, static_cast<size_t>(bytes));
    else
      std::memcpy(pages + to * bytes, pages + from * bytes, static_cast<size_t>(bytes));
  }
}

KvSequence::KvSequence(KvSequence&& other) noexcept
    : store_(other.store_),
      pages_(std::exchange(other.pages_, {})),
      tokens_(std::exchange(other.tokens_, 0)) {}

bool KvSequence::reserve(int64_t tokens) {
  const auto held = static_cast<int64_t>(pages_.size());
  const int64_t missing = std::max<int64_t>(0, pages_of(tokens) - held);
  // The page of the next token, if other sequences share the earlier tokens in it. Pages after it
  // hold no tokens and are never shared.
  const auto next = static_cast<size_t>(tokens_ / page_tokens);
  const bool copies =
      tokens > tokens_ && tokens_ % page_tokens > 0 && store_->is_shared(pages_[next]);
  pages_.reserve(static_cast<size_t>(held + missing + 1));
  if (!store_->take(missing + (copies ? 1 : 0), pages_)) return false;
  if (copies) {
    store_->copy(pages_[next], pages_.back());
    store_->release({&pages_[next], 1});
    pages_[next] = pages_.back();
    pages_.pop_back();
  }
  return true;
}

void KvSequence::rewind(int64_t tokens) {
  require(tokens >= 0 && tokens <= tokens_, "a sequence is rewound to where it has not been");
  const auto kept = static_cast<size_t>(pages_of(tokens));
  store_->release(std::span(pages_).subspan(kept));
  pages_.resize(kept);
  tokens_ = tokens;
}

KvSequence KvSequence::fork(int64_t tokens) const {
  require(tokens >= 0 && tokens <= tokens_, "a sequence is forked where it has not been");
  KvSequence other(*store_);
  other.pages_.assign(pages_.begin(), pages_.begin() + pages_of(tokens));
  other.tokens_ = tokens;
  store_->share(other.pages_);
  return other;
}

void KvSequence::clear() noexcept {
  store_->release(pages_);
}

}  // namespace ktx::engine
