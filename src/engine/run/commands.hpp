// A node of the graph made ready to run: kernels, weights and memory resolved once, while loading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/graph/graph.hpp"
#include "core/hw/worker_pool.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/kv_cache.hpp"
#include "ops/attention/rope.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// What changes from step to step.
struct Step {
  const int32_t* ids = nullptr;  // [tokens]
  int64_t tokens = 0;
  int64_t past = 0;  // tokens in the cache before this step
  KvCache* cache = nullptr;
  int64_t tail_begin = 0, tail_rows = 0;  // rows of the step whose logits are asked for
};

class Command {
 public:
  virtual ~Command() = default;
  virtual void run(const Step& step, hw::WorkerPool& pool) noexcept = 0;
};

/// The f32 numbers of a value: row t is at data + t * stride. (Routing: see graph::ValueLayout.)
struct ValueView {
  float* data = nullptr;
  int64_t stride = 0, width = 0;
};

/// What commands are made from.
struct CommandContext {
  const placement::Plan* plan = nullptr;
  const Weights* weights = nullptr;
  std::vector<ValueView> values;  // one a value of the graph
  std::byte* scratch = nullptr;   // shared by all commands, which run one after another
  std::function<const ops::RopeTable*(const graph::Rope&)> rope_table;
  int64_t max_tokens = 0;
  int workers = 1;
};

/// Makes the command of one node, or of several linear nodes that read the same value.
std::unique_ptr<Command> make_command(const CommandContext& context,
                                      std::span<const graph::Node> nodes);

/// Bytes of scratch that the nodes need for up to context.max_tokens tokens.
size_t scratch_bytes(const CommandContext& context, std::span<const graph::Node> nodes);

}  // namespace ktx::engine
