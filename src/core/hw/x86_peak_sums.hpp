// The loop of the vector probes: enough sums in registers to hide the latency of one step.
#pragma once

#include <cstdint>

namespace ktx::hw {
namespace {

constexpr int peak_sums = 12;  // two a cycle with a latency of up to six

/// sums[i] = step(sums[i]) for i of [I, peak_sums). A loop would keep the sums in memory. The empty
/// assembly makes each a value that must be computed.
template <int I, class Vector, class Step>
[[gnu::always_inline]] inline void step_all(Vector (&sums)[peak_sums], const Step& step) {
  if constexpr (I < peak_sums) {
    sums[I] = step(sums[I]);
    __asm__ volatile("" : "+v"(sums[I]));
    step_all<I + 1>(sums, step);
  }
}

/// `rounds` steps of every sum.
template <class Vector, class Step>
[[gnu::always_inline]] inline void repeat(int64_t rounds, Vector start, const Step& step) {
  Vector sums[peak_sums] = {start, start, start, start, start, start,
                            start, start, start, start, start, start};
  for (int64_t round = 0; round < rounds; ++round) step_all<0>(sums, step);
}

}  // namespace
}  // namespace ktx::hw
