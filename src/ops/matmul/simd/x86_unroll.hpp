// Loops unrolled at compile time, with the index as a constant: shift counts must be immediates.
#pragma once

namespace ktx::ops {
namespace {

template <int N>
struct Index {
  static constexpr int value = N;
  constexpr operator int() const { return N; }
};

/// body(Index<Begin>{}), ..., body(Index<End - 1>{}).
template <int Begin, int End, class Body>
[[gnu::always_inline]] inline void unroll(Body&& body) {
  if constexpr (Begin < End) {
    body(Index<Begin>{});
    unroll<Begin + 1, End>(body);
  }
}

}  // namespace
}  // namespace ktx::ops
