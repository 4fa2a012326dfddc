// int4/G encoding with avx512 vectors.
#include "core/quant/int4_search.hpp"

namespace ktx::quant::int4 {

constexpr Encoders avx512 = encoders_of_width<16>;

}  // namespace ktx::quant::int4
