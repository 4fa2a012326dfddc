// Random expert choices with the skew of a trained router.
#pragma once

#include <cstdint>
#include <vector>

namespace ktx::engine {

/// `of_token` different experts for each token, token after token; the same in every call. Experts
/// differ in popularity as they do for text of one kind: of 256, the busiest gets about three times
/// the mean, the idlest a quarter of it.
std::vector<int32_t> some_routes(int64_t tokens, int experts, int of_token);

}  // namespace ktx::engine
