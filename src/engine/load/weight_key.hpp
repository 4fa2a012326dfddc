// Keys of packed weights in the cache: digests of what they were made from, and how.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "engine/load/weight_loader.hpp"

namespace ktx::engine {

/// How a weight is packed: shape, formats, layout, and a digest of a sample packed by this build,
/// so that a changed codec, packer or layout gives a different key.
std::string packing_text(const LoadJob& job);

/// The key by the state of the checkpoint's files, which is known without reading them.
base::Digest state_key(std::span<const LoadJob* const> jobs, const loader::TensorSource& source);

/// The key by content: one digest a job, of the bytes that it was packed from.
base::Digest content_key(std::span<const LoadJob* const> jobs,
                         std::span<const base::Digest> contents);

}  // namespace ktx::engine
