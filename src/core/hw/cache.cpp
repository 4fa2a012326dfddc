// The caches as CPUID describes them: leaf 4 of Intel, 0x8000001d of AMD, with the same fields.
#include "core/hw/cache.hpp"

#if defined(__x86_64__)
#include <cpuid.h>

#include <initializer_list>
#endif

namespace ktx::hw {

namespace {

constexpr int64_t unknown = 512 * 1024;

}  // namespace

#if defined(__x86_64__)
int64_t l2_bytes_of_thread() noexcept {
  for (const unsigned leaf : {0x4u, 0x8000001du}) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    for (unsigned i = 0; __get_cpuid_count(leaf, i, &a, &b, &c, &d) != 0 && (a & 31) != 0; ++i) {
      const unsigned type = a & 31, level = a >> 5 & 7, sharing = (a >> 14 & 0xfff) + 1;
      constexpr unsigned instructions = 2;
      if (level != 2 || type == instructions) continue;
      const int64_t ways = (b >> 22) + 1, partitions = (b >> 12 & 0x3ff) + 1;
      const int64_t line = (b & 0xfff) + 1, sets = int64_t{c} + 1;
      return ways * partitions * line * sets / sharing;
    }
  }
  return unknown;
}
#else
int64_t l2_bytes_of_thread() noexcept {
  return unknown;
}
#endif

}  // namespace ktx::hw
