// The prompts of benchmarks.
#include "ktx/bench.hpp"

namespace ktx {

std::vector<int32_t> some_tokens(int64_t count, int vocab) {
  std::vector<int32_t> ids;
  uint32_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    ids.push_back(static_cast<int32_t>(state % static_cast<uint32_t>(vocab)));
  }
  return ids;
}

}  // namespace ktx
