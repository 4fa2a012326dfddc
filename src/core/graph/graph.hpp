// The graph: nodes in execution order over values [T, width]; an architecture makes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/kv_row.hpp"
#include "core/graph/module.hpp"
#include "core/graph/op.hpp"

namespace ktx::graph {

enum class NumberType : uint8_t { f32, bf16 };

/// A value, or a range of columns of another value (a view).
struct Value {
  std::string name;      // of the node or slice that made it, for messages
  int64_t width = 0;     // columns
  bool routing = false;  // router output: top_k ids and weights a token (width = top_k)
  int base = -1;  // view of: the value (never itself a view) it is a part of; -1: owns its numbers
  int64_t offset = 0;  // first column within base
  // Set by lowering; a view lies where its base does, and is of the same type.
  int place = 0;
  NumberType type = NumberType::f32;
};

struct Node {
  Op op = Op::add;
  int module = -1;          // index into Model::modules; -1: the op has no weights
  std::vector<int> inputs;  // indices into Graph::values
  int output = -1;
  OpParams params;
  int layer = -1;
  // Set by lowering: where it runs, and whether that is a GPU.
  int place = 0;
  bool on_gpu = false;
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // each after those whose outputs it reads
  int logits = -1;          // the value [T', vocab]
};

/// What an architecture knows of a model, in the field's common terms.
struct ModelInfo {
  std::string architecture;  // Hugging Face model_type: "deepseek_v3"
  std::string name;          // if the checkpoint says
  int layers = 0, hidden = 0, vocab = 0;
  int64_t context = 0;  // tokens the model was trained for
  int experts = 0, experts_per_token = 0;
  std::vector<int> moe_layers;
  std::vector<KvRow> caches;  // what each cache keeps of a token
};

/// A model: modules and the graph over them. Pure function of header, configuration and top_k.
struct Model {
  ModelInfo info;
  std::vector<Module> modules;
  Graph graph;
};

/// Makes nodes one by one; shape mistakes are `bug` errors naming the module.
class GraphBuilder {
 public:
  explicit GraphBuilder(Model& model) : model_(model) {}

  /// Adds a module and returns its index.
  int module(Module module);

  int embedding(int module);
  int rms_norm(int module, int x, float eps);
  int linear(int module, int x);
  int silu_mul(int gate, int up);
  int add(int a, int b);
  int scale_sigmoid(int x, int s);
  int mla(int module, int q, int latent, int k_rope, MlaParams params);
  int gqa(int module, int q, int k, int v, GqaParams params);
  int router(int module, int x, RouterParams params);
  int moe(int module, int x, int routing, MoeParams params);
  int last_rows(int x);
  /// Columns [offset, offset + width) of x, without a copy.
  int slice(int x, int64_t offset, int64_t width);
  void logits(int value);

  /// Layer number given to the nodes that follow; -1 outside the layers.
  void set_layer(int layer) noexcept { layer_ = layer; }

 private:
  int add_node(Op op, int module, std::vector<int> inputs, int64_t width, OpParams params,
               bool routing = false);
  int64_t width(int value, std::string_view user) const;

  Model& model_;
  int layer_ = -1;
};

/// Checks order, widths, modules and parameters of a whole graph; throws a `bug` error.
void validate(const Model& model);

/// One line a node, equal layers folded: for people and for tests.
std::string print(const Model& model);

/// Where every value lives in the arena of its place when T = `tokens` tokens run, reusing the
/// space of dead values. last_rows and the nodes after it have logit_rows rows and may run again
/// for other rows. A node's output never overlaps its inputs, but for a sum, which may take the
/// place of one that nothing else reads. What the CPU, place 0,
/// copies to or from another place stays to the end of its layer: GPUs do so in their own time.
/// Blocks start at
/// multiples of 64 bytes. Routing [T, k] takes T k expert ids (i32), then T k weights (f32).
struct ValueLayout {
  std::vector<int64_t> offset;  // [values] bytes from its arena's start; views resolved
  std::vector<int64_t> stride;  // [values] numbers from one token's row to the next
  std::vector<int64_t> arena;   // [places] bytes for T tokens
  int64_t size = 0;             // bytes of all places
};
/// last_of_command: [nodes] the last node of the command that runs a node, whose inputs must stay
/// until then; empty: every node is a command.
ValueLayout layout_values(const Graph& graph, int64_t tokens, int64_t logit_rows,
                          std::span<const size_t> last_of_command = {});

/// Rows of logits computed at once at most: bounds their memory at any vocabulary.
constexpr int64_t max_logit_rows = 32;

}  // namespace ktx::graph
