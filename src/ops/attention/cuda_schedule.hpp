// How the absorbed attention of a step is dealt out to the blocks of a GPU: for host and device.
//
// The pages that the rows see, row after row, are one long list, cut into equal parts, one a group
// of blocks (a block for each block of heads), so that every block has the same work. A part may
// end within a row: the row's parts leave partial sums, which are merged in order.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define KTX_BOTH __host__ __device__
#else
#define KTX_BOTH
#endif

namespace ktx::ops::cuda {

/// Pages [begin, end) of the list.
struct PageRange {
  int32_t begin = 0, end = 0;
};

struct PageSchedule {
  int32_t pages = 0;   // of the list
  int32_t groups = 1;  // of blocks

  KTX_BOTH constexpr int32_t part() const { return (pages + groups - 1) / groups; }

  KTX_BOTH constexpr PageRange part_of(int32_t group) const {
    const int32_t begin = group * part(), end = begin + part();
    return {begin < pages ? begin : pages, end < pages ? end : pages};
  }

  /// The groups that have pages of a row's range, which is not empty.
  KTX_BOTH constexpr int32_t first_group(PageRange row) const { return row.begin / part(); }
  KTX_BOTH constexpr int32_t last_group(PageRange row) const { return (row.end - 1) / part(); }

  /// Where a group leaves its partial sums of a row. A group has at most two rows that it shares:
  /// the one its part begins in and the one its part ends in.
  KTX_BOTH constexpr int32_t slot(int32_t group, PageRange row) const {
    return 2 * group + (row.begin > group * part() ? 1 : 0);
  }
  KTX_BOTH static constexpr int32_t slots(int32_t groups) { return 2 * groups; }
};

}  // namespace ktx::ops::cuda
