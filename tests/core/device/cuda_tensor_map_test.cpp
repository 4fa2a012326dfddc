// Tensor maps; what is copied by them, the tests of attention compare.
#include "core/device/cuda_tensor_map.hpp"

#include <cstring>

#include "catch.hpp"
#include "support/gpu.hpp"

using namespace ktx;

namespace {

bool equal(const CUtensorMap& a, const CUtensorMap& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

TEST_CASE("cuda: the driver makes tensor maps, of heads and strides in any order") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const auto block = gpu.poisoned(1 << 20);
  const device::TiledNumbers rows{
      .data = block.as<uint16_t>(), .rows = 100, .row_stride = 576, .columns = 576};
  const CUtensorMap map = device::tensor_map(rows, 64);
  CHECK_FALSE(equal(map, CUtensorMap{}));
  CHECK(equal(map, device::tensor_map(rows, 64)));
  CHECK_FALSE(equal(map, device::tensor_map(rows, 128)));
  device::TiledNumbers heads = rows;
  heads.heads = 3;
  heads.head_stride = 136;          // less than a row's
  heads.row_stride = 3 * 136 + 16;  // no multiple of it
  heads.columns = 128;
  CHECK_FALSE(equal(device::tensor_map(heads, 128), CUtensorMap{}));
  heads.head_stride = 100 * 136;  // more than a row's
  heads.row_stride = 136;
  CHECK_FALSE(equal(device::tensor_map(heads, 128), CUtensorMap{}));
  heads.data += 1;  // not aligned: the driver refuses
  CHECK(equal(device::tensor_map(heads, 128), CUtensorMap{}));
}
