// Room between AMX instructions: what follows another closely is slow.
#pragma once

namespace ktx::hw {
namespace {

// Behind every tile load and product. On a virtual machine of Emerald Rapids 4 products with their
// 4 loads take a thread 106 ns when all 16 run, with this behind each 78; a thread on its own 95
// and 63, but for its first milliseconds, which take it 23 both ways. Products alone, TOP/s of 16
// threads, median (lowest to highest) of 5 turns of 20 ms, the variants in alternation:
//
//                                bf16                  int8
//   4 sums                  18.3 (16.3 to 22.7)   36.7 (34.0 to 41.9)
//   6 sums                  20.3 (17.6 to 22.1)   38.5 (36.6 to 41.1)
//   4 sums, 8 nops          25.0 (23.2 to 27.4)   51.0 (48.0 to 57.3)
//   4 sums, 16 nops         25.4 (24.9 to 25.9)   52.6 (49.9 to 56.1)
//
// So the sums' latency is not what bounds them (more sums hardly help), nor the front end (more
// nops cost nothing). Why it is so is not known; perhaps threads that share a core's tiles get in
// each other's way.
[[gnu::always_inline]] inline void amx_space() noexcept {
  __asm__ volatile(".rept 8\n\tnop\n\t.endr");
}

}  // namespace
}  // namespace ktx::hw
