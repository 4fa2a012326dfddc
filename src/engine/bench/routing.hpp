// Which experts the tokens of a text go to, drawn as a trained router's choices look.
#pragma once

#include <cstdint>
#include <vector>

namespace ktx::engine {

/// `of_token` different experts for every token, token after token; the same with every call.
/// Experts differ in popularity, as they do under text of one kind: of 256 the busiest gets some
/// three times the mean, the idlest a quarter of it.
std::vector<int32_t> some_routes(int64_t tokens, int experts, int of_token);

}  // namespace ktx::engine
