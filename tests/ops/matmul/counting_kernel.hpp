// Test doubles of matmul kernels that count what they are asked for.
#pragma once

#include <atomic>

#include "ops/matmul/matmul.hpp"

namespace ktx_test {

enum class Phase { decode, prefill };

/// Numbers that the kernel of a phase computed: rows times tokens of all its products.
template <Phase P>
inline std::atomic<int64_t> numbers_made = 0;

/// The row "ref", counting.
template <Phase P>
const ktx::ops::MatmulKernel& counting_kernel() {
  static const ktx::ops::MatmulKernel kernel = [] {
    ktx::ops::MatmulKernel row = *ktx::ops::find_matmul_kernel("ref");
    row.run = [](const ktx::ops::MatmulArgs& args) noexcept {
      numbers_made<P> += (args.row_end - args.row_begin) * args.x.tokens;
      ktx::ops::find_matmul_kernel("ref")->run(args);
    };
    return row;
  }();
  return kernel;
}

inline void count_anew() {
  numbers_made<Phase::decode> = numbers_made<Phase::prefill> = 0;
}

}  // namespace ktx_test
