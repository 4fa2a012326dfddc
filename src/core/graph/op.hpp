// The ops: mathematical operations and their contracts. Every node of a graph is one of them.
//
// T is the number of tokens of the step. All values are [T, width] row-major, f32 on the CPU and
// f32 or bf16 on a GPU, except routing (see Op::router).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ktx::graph {

enum class Op : uint8_t {
  embedding,  // () -> [T, hidden]: row ids[t] of `weight`
  rms_norm,  // x [T, w] -> [T, w]: x / sqrt(mean(x^2) + eps) * weight, in groups of weight's length
  linear,    // x [T, in] -> [T, out]: x W^T (+ bias)
  silu_mul,  // gate, up [T, w] -> [T, w]: silu(gate) * up
  add,       // a, b [T, w] -> [T, w]
  scale_sigmoid,  // x [T, w], s [T, 1] -> [T, w]: x * sigmoid(s)
  mla,        // q [T, heads (nope + rope)], latent [T, kv_lora], k_rope [T, rope] -> [T, heads v]
  gqa,        // q [T, heads * head], k, v [T, kv_heads * head] -> [T, heads * head]
  router,     // x [T, hidden] -> routing: expert ids i32 [T, k] and weights f32 [T, k]
  moe,        // x [T, hidden], routing -> [T, hidden]
  last_rows,  // x [T, w] -> [T', w]: only the rows whose logits are wanted
  // Made by lowering, never by an architecture:
  copy,     // x -> the same values on another place
  convert,  // x -> the same values in the output's type
};

struct OpInfo {
  Op op;
  std::string_view name;  // in rules: "<name>.<kernel>" or "<name>.auto"
  std::string_view doc;
  bool owns_matrix;  // its matrices can be stored in any format; false: kept as in the checkpoint
};

/// The ops of models: all except those made by lowering.
std::span<const OpInfo> ops() noexcept;
const OpInfo& info(Op op) noexcept;
std::optional<Op> find_op(std::string_view name) noexcept;

/// Rotary position embedding. frequency[i] is the angle in radians per position of pair i
/// (YaRN and Llama-3 scaling already applied); dims = 2 * frequency.size().
struct Rope {
  std::vector<float> frequency;
  float magnitude = 1;       // multiplies cos and sin (YaRN's mscale / mscale_all_dim ratio)
  bool interleaved = false;  // pairs (2i, 2i+1); else (i, i + dims / 2)
};

struct NormParams {
  float eps = 1e-6f;
};

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1). Per token the cache
/// holds kv_lora normed latents and `rope` rotated key numbers. Inputs: q, with each head's nope
/// columns before its rope columns, not rotated; latent, already normed; k_rope, not rotated.
/// Module weights, whatever the checkpoint's layout: `k_b` (count heads, rows kv_lora, cols nope;
/// transposed if it comes from the old layout's kv_b) and `v_b` (count heads, rows v, cols
/// kv_lora).
struct MlaParams {
  int heads = 0, nope = 0, rope = 0, v = 0, kv_lora = 0;
  float scale = 0;  // of q.k before the softmax
  Rope rotary;
  int cache = 0;  // number of the layer's cache
};

/// Grouped-query attention. head: numbers per head, of which the first 2 * frequency.size() are
/// rotated.
struct GqaParams {
  int heads = 0, kv_heads = 0, head = 0;
  float scale = 0;
  Rope rotary;
  int window = 0;  // a token attends to the last `window` tokens, itself included; 0: to all
  int cache = 0;
};

/// The most experts that a token may choose and the most groups that a router may have: kernels
/// reserve this much for a selection.
constexpr int max_selected = 1024;

/// Router. scores = softmax or sigmoid of x W^T. The top_k experts with the best scores + bias
/// (`bias`, if any) are selected within the best top_groups of `groups` groups; a group's score is
/// the sum of its 2 best biased scores if group_by_top2, else its best one. Weights are the
/// unbiased scores of the selected experts, divided by their sum (+ 1e-20) if normalize, times
/// scale. Module weights: `weight` [experts, hidden] and optionally `bias` [experts]. top_k and
/// groups are at most max_selected.
struct RouterParams {
  int experts = 0, top_k = 0;
  int groups = 1, top_groups = 1;
  bool sigmoid = false, normalize = false;
  bool group_by_top2 = false;
  float scale = 1;
};

/// Which of a token's experts a moe node computes. Some of a decoded token's experts may be
/// deferred to a node of their own, whose result is added a layer later.
enum class MoePart : uint8_t { all, immediate, deferred };

/// The chosen experts' gated MLPs, summed with the routing weights. Module weights, count =
/// experts: `gate` and `up` [intermediate, hidden], `down` [hidden, intermediate].
struct MoeParams {
  int experts = 0, top_k = 0, hidden = 0, intermediate = 0;
  MoePart part = MoePart::all;
  int deferred = 0;  // experts of a decoded token that are: those of least weight
};

using OpParams =
    std::variant<std::monostate, NormParams, MlaParams, GqaParams, RouterParams, MoeParams>;

}  // namespace ktx::graph
