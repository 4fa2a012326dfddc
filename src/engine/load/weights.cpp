// Where each weight's packed bytes lie, and what brings them there.
#include "engine/load/weights.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "engine/load/gpu_loader.hpp"
#include "engine/load/read_ahead.hpp"
#include "engine/load/weight_cache.hpp"
#include "engine/load/weight_key.hpp"
#include "engine/load/weight_loader.hpp"
#include "engine/load/weight_parts.hpp"

namespace ktx::engine {

namespace {

bool has_gpus(const WeightOptions& options) {
  return !options.gpus.empty();
}

// Bytes of the CPU's memory that weights take on their way to GPUs.
constexpr uint64_t portion_bytes = uint64_t{1} << 30;

// What the blocks of the CPU's memory must hold, as NodeMemory takes them.
void add_bytes(const Part& part, std::vector<uint64_t>& blocks) {
  for (const auto& weight : part.weights)
    for (const auto& target : weight.targets) {
      if (target.weight->is_on_gpu()) continue;
      for (size_t i = 0; i < target.count; ++i) {
        const int node = target.nodes[i];
        auto& block = node == placement::WeightPart::every_node ? blocks.back()
                                                                : blocks[static_cast<size_t>(node)];
        block += weight.bytes_of(weight.job.destinations[target.first + i]);
      }
    }
}

// Gives each weight of a part its places in the CPU's memory.
void point_to_memory(Part& part, NodeMemory& memory, size_t nodes) {
  for (auto& of_part : part.weights)
    for (const auto& target : of_part.targets) {
      auto& weight = *target.weight;
      if (weight.is_on_gpu()) continue;
      for (size_t i = 0; i < target.count; ++i) {
        auto& to = of_part.job.destinations[target.first + i];
        const int node = target.nodes[i];
        to.data = memory.take(node, of_part.bytes_of(to));
        if (to.row_end - to.row_begin == weight.rows) weight.data = to.data;
        if (nodes == 1 || node == NodeMemory::every_node) continue;
        weight.nodes.resize(nodes);
        weight.nodes[static_cast<size_t>(node)] = {to.data, to.row_begin, to.row_end,
                                                   to.matrix_bytes};
      }
    }
}

// The same in an entry of the cache, on a machine of one node and no GPU.
void point_to_entry(Part& part, const std::byte* data) {
  for (auto& weight : part.weights) {
    weight.targets.front().weight->data = data;
    data += weight.entry_bytes();
  }
}

// From an entry of the cache to where its bytes are to lie.
void copy_entry(const Part& part, std::span<const std::byte> entry, hw::WorkerPool& pool) {
  constexpr int64_t piece = int64_t{1} << 22;
  each_copy(part, [&](std::byte* to, uint64_t offset, uint64_t bytes) {
    const std::byte* from = entry.data() + offset;
    pool.parallel_for(static_cast<int64_t>(bytes), piece,
                      [&](int64_t begin, int64_t end, int) noexcept {
                        std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
                      });
  });
}

WeightCache::Pieces stored_pieces(const Part& part) {
  WeightCache::Pieces pieces;
  for (const auto& piece : entry_pieces(part))
    pieces.emplace_back(piece.data, static_cast<size_t>(piece.bytes));
  return pieces;
}

// Hands parts to the cache as their last job is packed.
class PartWriter {
 public:
  PartWriter(WeightCache& cache, const std::vector<Part*>& parts) : cache_(cache), parts_(parts) {
    for (size_t p = 0; p < parts.size(); ++p) {
      first_job_.push_back(part_of_job_.size());
      part_of_job_.insert(part_of_job_.end(), parts[p]->weights.size(), p);
    }
    contents_.resize(part_of_job_.size());
    left_ = std::vector<std::atomic<size_t>>(parts.size());
    for (size_t p = 0; p < parts.size(); ++p) left_[p] = parts[p]->weights.size();
  }

  void packed(size_t job, const base::Digest& content) {
    contents_[job] = content;
    const size_t p = part_of_job_[job];
    if (left_[p].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const Part& part = *parts_[p];
    const auto contents = std::span(contents_).subspan(first_job_[p], part.weights.size());
    cache_.store_soon(part.state, content_key(part.jobs(), contents), stored_pieces(part));
  }

 private:
  WeightCache& cache_;
  const std::vector<Part*>& parts_;
  std::vector<size_t> part_of_job_, first_job_;
  std::vector<base::Digest> contents_;
  std::vector<std::atomic<size_t>> left_;
};

}  // namespace

Weights::Weights(const placement::Plan& plan, const loader::TensorSource& source,
                 hw::WorkerPool& pool, const WeightOptions& options) {
  modules_.resize(plan.model.modules.size());
  auto parts = parts_of(plan, modules_);
  if (!options.cache.empty()) cache_.emplace(options.cache);

  const size_t nodes = plan.machine.nodes.size();
  const bool maps = nodes == 1 && !has_gpus(options);
  std::vector<Part*> missing;
  std::vector<std::pair<Part*, base::MappedFile>> found;  // to be copied
  std::vector<uint64_t> blocks(nodes + 1);
  for (auto& part : parts) {
    if (cache_) part.state = state_key(part.jobs(), source);
    auto entry = cache_ ? cache_->find(part.state, part.bytes) : std::nullopt;
    if (entry) cached_bytes_ += part.bytes;
    if (entry && maps) {
      point_to_entry(part, entry->bytes().data());
      mapped_.push_back(std::move(*entry));
      continue;
    }
    add_bytes(part, blocks);
    if (entry)
      found.emplace_back(&part, std::move(*entry));
    else
      missing.push_back(&part);
  }

  bytes_ = plan.weight_bytes();
  GpuLoader gpus(options.gpus, modules_);
  memory_ = NodeMemory(plan.machine, blocks);
  for (auto& [part, entry] : found) {
    point_to_memory(*part, memory_, nodes);
    Part* const one[] = {part};
    gpus.stage(one);
    copy_entry(*part, entry.bytes(), pool);
    gpus.upload(one);
  }
  // Those of GPUs first: the rest then needs no portions.
  std::ranges::stable_partition(
      missing, [](const Part* part) { return GpuLoader::staged_bytes(*part) > 0; });
  for (auto* part : missing) {
    point_to_memory(*part, memory_, nodes);
    for (const auto& weight : part->weights) source_bytes_ += stored_bytes(*weight.job.weight);
  }
  try {
    load_missing(missing, source, pool, options, gpus);
  } catch (...) {
    cache_.reset();  // ends before the staging memory that it may still write from
    throw;
  }
  gpu_memory_ = gpus.take();
  if (plan.streams()) pin_memory();
  bring_into_memory();
}

// In portions, so that what goes to GPUs takes little of the CPU's memory on its way.
void Weights::load_missing(const std::vector<Part*>& missing, const loader::TensorSource& source,
                           hw::WorkerPool& pool, const WeightOptions& options, GpuLoader& gpus) {
  uint64_t before = 0;  // bytes of the checkpoint in the portions that are done
  for (size_t begin = 0, end = 0; begin < missing.size(); begin = end) {
    uint64_t staged = 0;
    std::vector<LoadJob> jobs;
    for (; end < missing.size(); ++end) {
      const uint64_t bytes = GpuLoader::staged_bytes(*missing[end]);
      if (end > begin && (staged + bytes > portion_bytes || (staged > 0 && bytes == 0))) break;
      staged += bytes;
    }
    const std::vector<Part*> portion(missing.begin() + static_cast<std::ptrdiff_t>(begin),
                                     missing.begin() + static_cast<std::ptrdiff_t>(end));
    gpus.stage(portion);
    uint64_t consumed = 0;
    for (const auto* part : portion)
      for (const auto& weight : part->weights) {
        jobs.push_back(weight.job);
        consumed += stored_bytes(*weight.job.weight);
      }
    LoadHooks hooks;
    if (options.progress)
      hooks.progress = [&](const graph::Module& module, uint64_t done) {
        options.progress(module.path, before + done, source_bytes_);
      };
    std::optional<PartWriter> writer;
    if (cache_) {
      writer.emplace(*cache_, portion);
      hooks.packed = [&](size_t job, const base::Digest& content) { writer->packed(job, content); };
    }
    load_weights(jobs, source, pool, hooks);
    gpus.upload(portion);
    if (cache_ && staged > 0) cache_->finish();  // the staging memory is used again
    before += consumed;
  }
}

// Streaming reads the CPU's memory at the full rate of the bus. The driver pins a few GiB at a
// time.
void Weights::pin_memory() {
  for (const auto block : memory_.blocks())
    for (size_t at = 0; at < block.size();) {
      const auto address = reinterpret_cast<uintptr_t>(block.data() + at);
      const size_t bytes = std::min(block.size() - at, pinned_piece - address % pinned_piece);
      pins_.emplace_back(block.subspan(at, bytes));
      at += bytes;
    }
}

Weights::Weights(const placement::Plan& plan) : modules_(plan.model.modules.size()) {
  parts_of(plan, modules_);
}

// Mapped pages come from the disk as they are touched, one after the other; the kernel is asked for
// all of them, in large pages and several at a time, while the first tokens already run.
void Weights::bring_into_memory() {
  constexpr size_t piece = size_t{16} << 20;
  struct Pieces {
    std::vector<std::pair<const base::MappedFile*, size_t>> all;  // file, offset
    std::atomic<size_t> next{0};
  };
  const auto pieces = std::make_shared<Pieces>();
  for (const auto& file : mapped_) {
    file.prefer_huge_pages();
    for (size_t at = 0; at < file.bytes().size(); at += piece) pieces->all.emplace_back(&file, at);
  }
  const auto threads = std::min<size_t>(ReadAhead::readers, pieces->all.size());
  for (size_t t = 0; t < threads; ++t)
    populating_.emplace_back([pieces](const std::stop_token& stop) {
      for (size_t i = pieces->next++; i < pieces->all.size() && !stop.stop_requested();
           i = pieces->next++)
        pieces->all[i].first->populate(pieces->all[i].second, piece);
    });
}

const LoadedWeight* Weights::find(int module, std::string_view role,
                                  device::Place place) const noexcept {
  if (module < 0) return nullptr;
  for (const auto& weight : modules_[static_cast<size_t>(module)])
    if (weight.role == role && weight.place == place) return &weight;
  return nullptr;
}

const LoadedWeight& Weights::get(int module, std::string_view role, device::Place place) const {
  const auto* weight = find(module, role, place);
  if (weight == nullptr) throw_bug("a module lacks its weight '" + std::string(role) + "'");
  return *weight;
}

}  // namespace ktx::engine
