// Where each weight's packed bytes lie, and what brings them there.
#include "engine/load/weights.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "engine/load/read_ahead.hpp"
#include "engine/load/weight_cache.hpp"
#include "engine/load/weight_key.hpp"
#include "engine/load/weight_loader.hpp"

namespace ktx::engine {

namespace {

// What one rule placed in one layer. It is one entry of the cache, so that a rules file in which
// one rule has changed finds what the others placed. The entry holds the weights one after another,
// of each all rows once: a NUMA node's shard after the other, or of several copies one.
struct Part {
  std::vector<LoadJob> jobs;
  std::vector<LoadedWeight*> weights;                             // one a job
  std::vector<const std::vector<placement::WeightPart>*> placed;  // one a job
  uint64_t bytes = 0;                                             // of the entry
  base::Digest state;
};

LoadedWeight describe(const graph::Weight& weight, const placement::PlannedWeight& planned) {
  LoadedWeight loaded;
  loaded.role = weight.role;
  loaded.format = planned.format;
  loaded.layout = planned.layout;
  loaded.count = weight.count;
  loaded.rows = weight.rows;
  loaded.cols = weight.cols;
  loaded.matrix_bytes = planned.parts.front().matrix_bytes;
  return loaded;
}

// The job of loading a weight; its destinations have no memory yet.
LoadJob job_of(const graph::Module& module, const graph::Weight& weight,
               const placement::PlannedWeight& planned) {
  LoadJob job{&module, &weight, planned.format, planned.layout, {}};
  for (const auto& part : planned.parts)
    job.destinations.push_back({nullptr, part.row_begin, part.row_end, part.matrix_bytes});
  return job;
}

uint64_t bytes_of(const LoadJob& job, const Destination& to) {
  return static_cast<uint64_t>(job.weight->count * to.matrix_bytes);
}

// Of a job's destinations those that an entry of the cache holds.
std::span<const Destination> stored(const LoadJob& job) {
  const auto& all = job.destinations;
  const bool copies = all.front().row_end == all.back().row_end;
  return std::span(all).first(copies ? 1 : all.size());
}

// modules: one list of weights a module of the model; gets those of the planned ones.
std::vector<Part> parts_of(const placement::Plan& plan,
                           std::vector<std::vector<LoadedWeight>>& modules) {
  std::vector<Part> parts;
  std::map<std::pair<int, std::string>, size_t> known;  // by layer and rule
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    auto& loaded = modules[static_cast<size_t>(planned.module)];
    for (size_t i = 0; i < module.weights.size(); ++i)
      loaded.push_back(describe(module.weights[i], planned.weights[i]));
    if (loaded.empty()) continue;
    const auto [at, is_new] = known.try_emplace({module.layer, planned.rule_name}, parts.size());
    if (is_new) parts.emplace_back();
    auto& part = parts[at->second];
    for (size_t i = 0; i < loaded.size(); ++i) {
      part.jobs.push_back(job_of(module, module.weights[i], planned.weights[i]));
      part.weights.push_back(&loaded[i]);
      part.placed.push_back(&planned.weights[i].parts);
      for (const auto& to : stored(part.jobs.back())) part.bytes += bytes_of(part.jobs.back(), to);
    }
  }
  return parts;
}

// What the blocks of memory must hold, as NodeMemory takes them.
void add_bytes(const Part& part, std::vector<uint64_t>& blocks) {
  for (const auto* placed : part.placed)
    for (const auto& p : *placed)
      (p.node == placement::WeightPart::every_node ? blocks.back()
                                                   : blocks[static_cast<size_t>(p.node)]) +=
          p.bytes;
}

// Gives each weight of a part its places in memory.
void point_to_memory(Part& part, NodeMemory& memory, size_t nodes) {
  for (size_t i = 0; i < part.jobs.size(); ++i) {
    auto& weight = *part.weights[i];
    const auto& placed = *part.placed[i];
    for (size_t p = 0; p < placed.size(); ++p) {
      auto& to = part.jobs[i].destinations[p];
      to.data = memory.take(placed[p].node, placed[p].bytes);
      if (to.row_end - to.row_begin == weight.rows) weight.data = to.data;
      if (nodes == 1 || placed[p].node == NodeMemory::every_node) continue;
      weight.nodes.resize(nodes);
      weight.nodes[static_cast<size_t>(placed[p].node)] = {to.data, to.row_begin, to.row_end,
                                                           to.matrix_bytes};
    }
  }
}

// The same in an entry of the cache, on a machine of one node.
void point_to_entry(Part& part, const std::byte* data) {
  for (size_t i = 0; i < part.jobs.size(); ++i) {
    part.weights[i]->data = data;
    data += bytes_of(part.jobs[i], part.jobs[i].destinations.front());
  }
}

// What of a part's memory the cache keeps.
WeightCache::Pieces stored_pieces(const Part& part) {
  WeightCache::Pieces pieces;
  for (const auto& job : part.jobs)
    for (const auto& to : stored(job))
      pieces.emplace_back(to.data, static_cast<size_t>(bytes_of(job, to)));
  return pieces;
}

// From an entry of the cache to the nodes.
void copy_entry(const Part& part, std::span<const std::byte> entry, hw::WorkerPool& pool) {
  constexpr int64_t piece = int64_t{1} << 22;
  const std::byte* from = entry.data();
  for (const auto& job : part.jobs) {
    const bool copies = stored(job).size() < job.destinations.size();
    for (const auto& to : job.destinations) {
      const auto bytes = static_cast<int64_t>(bytes_of(job, to));
      pool.parallel_for(bytes, piece, [&](int64_t begin, int64_t end, int) noexcept {
        std::memcpy(to.data + begin, from + begin, static_cast<size_t>(end - begin));
      });
      if (!copies) from += bytes;
    }
    if (copies) from += bytes_of(job, job.destinations.front());
  }
}

std::vector<const LoadJob*> pointers(const Part& part) {
  std::vector<const LoadJob*> jobs;
  for (const auto& job : part.jobs) jobs.push_back(&job);
  return jobs;
}

// Hands parts to the cache as their last job is packed.
class PartWriter {
 public:
  PartWriter(WeightCache& cache, const std::vector<Part*>& parts) : cache_(cache), parts_(parts) {
    for (size_t p = 0; p < parts.size(); ++p) {
      first_job_.push_back(part_of_job_.size());
      part_of_job_.insert(part_of_job_.end(), parts[p]->jobs.size(), p);
    }
    contents_.resize(part_of_job_.size());
    left_ = std::vector<std::atomic<size_t>>(parts.size());
    for (size_t p = 0; p < parts.size(); ++p) left_[p] = parts[p]->jobs.size();
  }

  void packed(size_t job, const base::Digest& content) {
    contents_[job] = content;
    const size_t p = part_of_job_[job];
    if (left_[p].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const Part& part = *parts_[p];
    const auto contents = std::span(contents_).subspan(first_job_[p], part.jobs.size());
    cache_.store_soon(part.state, content_key(pointers(part), contents), stored_pieces(part));
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
  std::vector<Part*> missing;
  std::vector<std::pair<Part*, base::MappedFile>> found;  // on several nodes, to be copied
  std::vector<uint64_t> blocks(nodes + 1);
  for (auto& part : parts) {
    if (cache_) part.state = state_key(pointers(part), source);
    auto entry = cache_ ? cache_->find(part.state, part.bytes) : std::nullopt;
    if (entry) mapped_bytes_ += part.bytes;
    if (entry && nodes == 1) {
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

  memory_ = NodeMemory(plan.machine, blocks);
  bytes_ = plan.weight_bytes();
  for (auto& [part, entry] : found) {
    point_to_memory(*part, memory_, nodes);
    copy_entry(*part, entry.bytes(), pool);
  }
  std::vector<LoadJob> jobs;
  for (auto* part : missing) {
    point_to_memory(*part, memory_, nodes);
    jobs.insert(jobs.end(), part->jobs.begin(), part->jobs.end());
    for (const auto& job : part->jobs) source_bytes_ += stored_bytes(*job.weight);
  }

  LoadHooks hooks;
  if (options.progress)
    hooks.progress = [&](const graph::Module& module, uint64_t done) {
      options.progress(module.path, done, source_bytes_);
    };
  std::optional<PartWriter> writer;
  if (cache_) {
    writer.emplace(*cache_, missing);
    hooks.packed = [&](size_t job, const base::Digest& content) { writer->packed(job, content); };
  }
  load_weights(jobs, source, pool, hooks);
  bring_into_memory();
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

const LoadedWeight* Weights::find(int module, std::string_view role) const noexcept {
  if (module < 0) return nullptr;
  for (const auto& weight : modules_[static_cast<size_t>(module)])
    if (weight.role == role) return &weight;
  return nullptr;
}

const LoadedWeight& Weights::get(int module, std::string_view role) const {
  const auto* weight = find(module, role);
  if (weight == nullptr) throw_bug("a module lacks its weight '" + std::string(role) + "'");
  return *weight;
}

}  // namespace ktx::engine
