// Tensor maps are made by the driver, which is asked for by name: programs start without one.
#include "core/device/cuda_tensor_map.hpp"

#include "core/device/cuda.hpp"

namespace ktx::device {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// Null with a driver older than GPUs that have use for it.
Encode find_encode() noexcept {
  constexpr const char* name = "cuTensorMapEncodeTiled";
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
  cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result);
#else
  cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
  return reinterpret_cast<Encode>(found);
}

}  // namespace

CUtensorMap tensor_map(const TiledNumbers& numbers, int tile_rows) noexcept {
  static const Encode encode = find_encode();
  constexpr cuuint64_t bytes = sizeof(uint16_t);
  const auto at_least_one = [](int64_t n) { return static_cast<cuuint64_t>(n > 0 ? n : 1); };
  const int64_t head_stride = numbers.head_stride > 0 ? numbers.head_stride : numbers.row_stride;
  const cuuint64_t sizes[] = {at_least_one(numbers.columns), at_least_one(numbers.heads),
                              at_least_one(numbers.rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(head_stride) * bytes,
                                static_cast<cuuint64_t>(numbers.row_stride) * bytes};
  const cuuint32_t box[] = {64, 1, static_cast<cuuint32_t>(tile_rows)}, steps[] = {1, 1, 1};
  CUtensorMap map{};
  if (encode == nullptr) return map;
  encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<uint16_t*>(numbers.data), sizes,
         strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
         CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return map;
}

}  // namespace ktx::device
