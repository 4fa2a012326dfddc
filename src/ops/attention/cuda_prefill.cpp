// Which kernel attends over a prompt.
#include "ops/attention/cuda_prefill.hpp"

#include "core/device/cuda.hpp"
#include "ops/attention/cuda_prefill_kernels.hpp"

namespace ktx::ops::cuda {
namespace {

constexpr const PrefillKernel* table[] = {&prefill_wgmma, &prefill_mma};

}  // namespace

std::span<const PrefillKernel* const> prefill_kernels() noexcept {
  return table;
}

bool runs_here(const PrefillKernel& kernel, const PrefillArgs& args,
               const device::Queue& queue) noexcept {
  const int capability = device::limits_of(queue.place().index).capability;
  return kernel.least_capability <= capability && capability <= kernel.most_capability &&
         kernel.fits(args.head_dim, args.shared_dim);
}

bool prefill_fits(int head_dim, int shared_dim) noexcept {
  return prefill_mma.fits(head_dim, shared_dim);
}

void prefill(const PrefillArgs& args, const device::Queue& queue) noexcept {
  if (args.rows == 0) return;
  for (const PrefillKernel* kernel : table) {
    if (runs_here(*kernel, args, queue)) return kernel->run(args, queue);
  }
}

}  // namespace ktx::ops::cuda
