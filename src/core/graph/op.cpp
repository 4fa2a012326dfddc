// The table of ops.
#include "core/graph/op.hpp"

#include <algorithm>
#include <array>

namespace ktx::graph {
namespace {

// The router is no owner of a matrix: its rounding errors would choose other experts, and it is
// small.
constexpr std::array<OpInfo, 13> table{{
    {Op::embedding, "embedding", "rows of the token embedding", true},
    {Op::rms_norm, "rms_norm", "root-mean-square norm with a weight a column", false},
    {Op::linear, "linear", "matrix product with a weight, with or without bias", true},
    {Op::silu_mul, "silu_mul", "silu(gate) * up", false},
    {Op::add, "add", "sum of two values", false},
    {Op::scale_sigmoid, "scale_sigmoid", "value times the sigmoid of a number a token", false},
    {Op::mla, "mla", "multi-head latent attention over a compressed cache", true},
    {Op::gqa, "gqa", "grouped-query attention over a cache of keys and values", false},
    {Op::router, "router", "scores, choice and weights of the routed experts", false},
    {Op::moe, "moe", "the chosen experts' gated MLPs, summed by their weights", true},
    {Op::last_rows, "last_rows", "the rows whose logits are asked for", false},
    {Op::copy, "copy", "the same on another place", false},
    {Op::convert, "convert", "the same in another type", false},
}};

}  // namespace

std::span<const OpInfo> ops() noexcept {
  return std::span(table).first(static_cast<size_t>(Op::copy));
}

const OpInfo& info(Op op) noexcept {
  return table[static_cast<size_t>(op)];
}

std::optional<Op> find_op(std::string_view name) noexcept {
  const auto row = std::find_if(table.begin(), table.end(),
                                [name](const OpInfo& candidate) { return candidate.name == name; });
  if (row == table.end()) return std::nullopt;
  return row->op;
}

}  // namespace ktx::graph
