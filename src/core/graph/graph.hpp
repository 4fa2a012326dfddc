// The graph of a model: nodes in execution order over values [T, width].
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
  bool routing = false;  // router output: top_k ids and weights per token (width = top_k)
  int base = -1;         // the value that this is a view of (never itself a view); -1: not a view
  int64_t offset = 0;    // first column within base
  // Set by lowering. A view has the place and type of its base.
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

/// Hyper-parameters that every model has.
struct ModelInfo {
  std::string architecture;  // Hugging Face model_type: "deepseek_v3"
  std::string name;          // if the checkpoint has one
  int layers = 0, hidden = 0, vocab = 0;
  int64_t context = 0;  // tokens the model was trained for
  int experts = 0, experts_per_token = 0;
  std::vector<int> moe_layers;
  std::vector<KvRow> caches;  // what each KV cache stores per token
};

/// A model: modules and the graph over them. A pure function of header and configuration.
struct Model {
  ModelInfo info;
  std::vector<Module> modules;
  Graph graph;
};

/// Appends nodes one by one. Mismatched shapes are `bug` errors that name the module.
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

  /// The layer of the nodes that follow; -1: outside the layers.
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

/// One line per node, with identical layers folded: for people and for tests.
std::string print(const Model& model);

/// The position of every value in the arena of its place when T = `tokens` tokens run; the space of
/// dead values is reused. last_rows and the nodes after it have logit_rows rows and may run again
/// for other rows. A node's output never overlaps its inputs, except that a sum may replace an
/// input that nothing else reads. Values that are copied between the CPU (place 0) and another
/// place stay until the end of their layer, because GPUs run asynchronously. Blocks start at
/// multiples of 64 bytes. Routing [T, k] is stored as T * k expert ids (i32), then T * k weights
/// (f32).
struct ValueLayout {
  std::vector<int64_t> offset;  // [values] bytes from its arena's start; views resolved
  std::vector<int64_t> stride;  // [values] numbers from one token's row to the next
  std::vector<int64_t> arena;   // [places] bytes for T tokens
  int64_t size = 0;             // bytes of all places
};
/// last_of_command: [nodes] the last node of the command that includes a node; the node's inputs
/// must stay until then. Empty: every node is a command of its own.
ValueLayout layout_values(const Graph& graph, int64_t tokens, int64_t logit_rows,
                          std::span<const size_t> last_of_command = {});

/// The most rows of logits computed at once, which bounds their memory for large vocabularies.
constexpr int64_t max_logit_rows = 32;

}  // namespace ktx::graph
