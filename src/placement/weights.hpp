// The formats and bytes of a module's weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "placement/apply.hpp"
#include "placement/plan.hpp"

namespace ktx::placement {

/// Whether the op runs this weight in f32 whatever the rules say: vectors, norms, routers.
bool always_f32(graph::Op op, const graph::Weight& weight) noexcept;

/// One format a weight of decision.module. Matrices get the rule's format, or with `keep` their
/// own; a transposed matrix whose checkpoint format has blocks along what becomes its rows is kept
/// as f32. On a GPU the matrices of latent attention are bf16, whatever the rules say. Throws input
/// error when the format can't store or ktx can't make it.
std::vector<quant::Format> choose_formats(const Decision& decision);

/// "bf16", "int8 (from bf16)" or "f32 (from q8_0, transposed)".
std::string format_text(const PlannedWeight& weight, bool transposed = false);

/// Bytes of all `count` matrices as packed in memory.
uint64_t packed_bytes(const graph::Weight& weight, quant::Format format, ops::Layout layout);

/// [modules] the share of a module's weight bytes that decoding one token reads: the experts that
/// it uses, one row of the embedding, 1 for all others.
std::vector<double> read_share(const Plan& plan);

}  // namespace ktx::placement
