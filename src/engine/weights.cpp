// Where each weight's packed bytes lie, and what brings them there.
#include "engine/weights.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "engine/read_ahead.hpp"
#include "engine/weight_cache.hpp"
#include "engine/weight_key.hpp"
#include "engine/weight_loader.hpp"

namespace ktx::engine {

namespace {

// What one rule placed in one layer. It is one entry of the cache, so that a rules file in which
// one rule has changed finds what the others placed.
struct Part {
  std::vector<LoadJob> jobs;
  std::vector<LoadedWeight*> weights;  // one a job
  uint64_t bytes = 0;                  // packed, one weight after another
  base::Digest state;
  const std::byte* data = nullptr;
};

LoadedWeight describe(const graph::Weight& weight, const placement::PlannedWeight& planned) {
  LoadedWeight loaded;
  loaded.role = weight.role;
  loaded.format = planned.format;
  loaded.layout = planned.layout;
  loaded.count = weight.count;
  loaded.rows = weight.rows;
  loaded.cols = weight.cols;
  loaded.matrix_bytes = ops::packed_bytes(planned.layout, planned.format, weight.rows, weight.cols);
  return loaded;
}

uint64_t packed_bytes(const LoadedWeight& weight) {
  return static_cast<uint64_t>(weight.count * weight.matrix_bytes);
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
      part.jobs.push_back({&module, &module.weights[i], loaded[i].format, loaded[i].layout, {}});
      part.weights.push_back(&loaded[i]);
      part.bytes += packed_bytes(loaded[i]);
    }
  }
  return parts;
}

// Gives each weight of a part its place in the part's memory.
void point_weights(Part& part, const std::byte* data) {
  part.data = data;
  for (auto* weight : part.weights) {
    weight->data = data;
    data += packed_bytes(*weight);
  }
}

// The same, of memory to pack into: where the rows of every matrix of every weight go.
void point_jobs(Part& part, std::byte* data) {
  point_weights(part, data);
  for (size_t i = 0; i < part.jobs.size(); ++i) {
    const auto& weight = *part.weights[i];
    part.jobs[i].destinations = {
        {data + (weight.data - part.data), 0, weight.rows, weight.matrix_bytes}};
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
    cache_.store_soon(part.state, content_key(pointers(part), contents),
                      {part.data, static_cast<size_t>(part.bytes)});
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
  std::optional<WeightCache> cache;
  if (!options.cache.empty()) cache.emplace(options.cache);

  std::vector<Part*> missing;
  uint64_t missing_bytes = 0;
  for (auto& part : parts) {
    bytes_ += part.bytes;
    if (cache) {
      part.state = state_key(pointers(part), source);
      if (auto entry = cache->find(part.state, part.bytes)) {
        point_weights(part, entry->bytes().data());
        mapped_.push_back(std::move(*entry));
        mapped_bytes_ += part.bytes;
        continue;
      }
    }
    missing.push_back(&part);
    missing_bytes += part.bytes;
  }

  arena_ = base::Buffer(missing_bytes, true);
  std::byte* at = arena_.data();
  std::vector<LoadJob> jobs;
  for (auto* part : missing) {
    point_jobs(*part, at);
    at += part->bytes;
    jobs.insert(jobs.end(), part->jobs.begin(), part->jobs.end());
    for (const auto& job : part->jobs) source_bytes_ += stored_bytes(*job.weight);
  }

  LoadHooks hooks;
  if (options.progress)
    hooks.progress = [&](const graph::Module& module, uint64_t done) {
      options.progress(module.path, done, source_bytes_);
    };
  std::optional<PartWriter> writer;
  if (cache) {
    writer.emplace(*cache, missing);
    hooks.packed = [&](size_t job, const base::Digest& content) { writer->packed(job, content); };
  }
  load_weights(jobs, source, pool, hooks);
  if (cache) cache->finish();
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
