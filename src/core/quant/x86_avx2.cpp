// int4/G encoding with avx2 vectors.
#include "core/quant/int4_search.hpp"

namespace ktx::quant::int4 {

constexpr Encoders avx2 = encoders_of_width<8>;

}  // namespace ktx::quant::int4
