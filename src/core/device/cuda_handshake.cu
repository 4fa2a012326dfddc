// The GPU's side of a handshake: kernels that copy a little with little delay, and how they order
// it.
#include <algorithm>
#include <cuda/atomic>

#include "core/device/cuda.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {
namespace {

constexpr int threads = 1024;
constexpr int64_t most_blocks = 32;  // each polls over the bus
constexpr uint32_t polls_per_clock_read = 16;
constexpr int32_t group = 4;  // numbers that a thread copies at once: 16 bytes

template <class T>
using OfGpu = cuda::atomic_ref<T, cuda::thread_scope_device>;
template <class T>
using OfSystem = cuda::atomic_ref<T, cuda::thread_scope_system>;

__host__ __device__ int32_t groups_of(const Piece& piece) {
  return (piece.width + group - 1) / group;
}

__device__ bool aligned(const void* address, uint32_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

__device__ uint32_t sum(uint32_t a, float b) {
  return __float_as_uint(__uint_as_float(a) + b);
}

// Up to four numbers of a row. __ldcv reads memory itself, no copy of it in a cache: the other side
// has just written it.
template <class Four, class One, class Widen>
__device__ void copy_group(const Piece& piece, int32_t row, int32_t first, const Widen& widen) {
  const One* from = static_cast<const One*>(piece.from) + row * piece.from_stride + first;
  uint32_t* to = static_cast<uint32_t*>(piece.to) + row * piece.to_stride + first;
  const float* add = piece.add == nullptr ? nullptr : piece.add + row * piece.add_stride + first;
  const int32_t n = min(group, piece.width - first);
  if (n == group && aligned(from, sizeof(Four)) && aligned(to, 16) && aligned(add, 16)) {
    uint4 x = widen(__ldcv(reinterpret_cast<const Four*>(from)));
    if (add != nullptr) {
      const float4 y = *reinterpret_cast<const float4*>(add);
      x = make_uint4(sum(x.x, y.x), sum(x.y, y.y), sum(x.z, y.z), sum(x.w, y.w));
    }
    *reinterpret_cast<uint4*>(to) = x;
    return;
  }
#pragma unroll 1
  for (int32_t i = 0; i < n; ++i) {
    const uint32_t x = widen(__ldcv(from + i));
    to[i] = add == nullptr ? x : sum(x, add[i]);
  }
}

struct Words {
  __device__ uint32_t operator()(uint32_t x) const { return x; }
  __device__ uint4 operator()(uint4 x) const { return x; }
};
struct FromBf16 {
  __device__ uint32_t operator()(unsigned short x) const { return uint32_t{x} << 16; }
  __device__ uint4 operator()(uint2 x) const {
    return make_uint4(x.x << 16, x.x & 0xffff0000u, x.y << 16, x.y & 0xffff0000u);
  }
};

// The groups of all pieces are numbered through, so that each thread has one in the usual case.
__device__ void copy_pieces(const Pieces& pieces) {
  for (int32_t before = 0, item = blockIdx.x * threads + threadIdx.x; const Piece& piece : pieces) {
    const int32_t a_row = groups_of(piece), end = before + piece.rows * a_row;
    for (; item < end; item += gridDim.x * threads) {
      const int32_t row = (item - before) / a_row, first = (item - before) % a_row * group;
      if (piece.numbers == Piece::Numbers::bf16)
        copy_group<uint2, unsigned short>(piece, row, first, FromBf16{});
      else
        copy_group<uint4, uint32_t>(piece, row, first, Words{});
    }
    before = end;
  }
}

__global__ void __launch_bounds__(threads)
    post_kernel(const __grid_constant__ Pieces pieces, HandshakeFlags flags) {
  const HandshakeState before = *flags.state;  // under way while the pieces are copied
  copy_pieces(pieces);
  // This block's stores come before its arrival, all arrivals before the last one's flag: release
  // and acquire within the GPU, then release to the system, which covers what was acquired.
  __syncthreads();
  if (threadIdx.x != 0 || before.status != HandshakeStatus::ok) return;
  HandshakeState& state = *flags.state;
  if (gridDim.x > 1) {
    const uint32_t earlier =
        OfGpu<uint32_t>(state.arrived).fetch_add(1, cuda::memory_order_acq_rel);
    if (earlier + 1 != gridDim.x) return;
    state.arrived = 0;
  }
  state.epoch = before.epoch + 1;
  OfSystem<uint64_t>(*flags.posted)
      .store(make_flag(before.epoch + 1, HandshakeStatus::ok), cuda::memory_order_release);
}

__device__ uint64_t nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)::"memory");
  return now;
}

// Whether the answer has come; the blocks of a wait may differ in that when the deadline passes.
__device__ bool await_answer(const HandshakeFlags& flags) {
  HandshakeState& state = *flags.state;
  OfGpu<HandshakeStatus> state_status(state.status);
  if (state_status.load(cuda::memory_order_relaxed) != HandshakeStatus::ok) return false;
  const uint32_t epoch = state.epoch;
  const uint64_t begin = nanoseconds();
  HandshakeStatus status = HandshakeStatus::ok;
  for (uint32_t polls = 1; status == HandshakeStatus::ok; ++polls) {
    const uint64_t answered = OfSystem<uint64_t>(*flags.answered).load(cuda::memory_order_acquire);
    status = status_of(answered);
    if (status == HandshakeStatus::ok && has_reached(answered, epoch)) return true;
    if (status == HandshakeStatus::ok && polls % polls_per_clock_read == 0 &&
        nanoseconds() - begin > flags.answer_within_ns)
      status = HandshakeStatus::timed_out;
  }
  state_status.store(status, cuda::memory_order_relaxed);
  OfSystem<uint64_t>(*flags.posted).store(make_flag(epoch, status), cuda::memory_order_release);
  return false;
}

__global__ void __launch_bounds__(threads)
    wait_kernel(const __grid_constant__ Pieces pieces, HandshakeFlags flags) {
  __shared__ bool answered;
  if (threadIdx.x == 0) answered = await_answer(flags);
  __syncthreads();  // what thread 0 has acquired, all threads of the block may read
  if (answered) copy_pieces(pieces);
}

// Blocks whose threads copy `each` groups.
unsigned blocks_of(const Pieces& pieces, int64_t each) {
  int64_t groups = 0;
  for (const Piece& piece : pieces) groups += int64_t{piece.rows} * groups_of(piece);
  return static_cast<unsigned>(
      std::clamp<int64_t>(blocks_for(groups, threads * each), 1, most_blocks));
}

}  // namespace

void cuda_load_handshake(Place place) {
  const CurrentGpu current(place.index);
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, post_kernel), "loading the kernels of a handshake");
  check(cudaFuncGetAttributes(&attributes, wait_kernel), "loading the kernels of a handshake");
}

void cuda_post(const Pieces& pieces, const HandshakeFlags& flags, const Queue& queue) noexcept {
  const CurrentGpu current(queue.place().index);
  // Two groups a thread: stores wait for nothing, and a token's post then needs one block, which
  // has no other to meet.
  post_kernel<<<blocks_of(pieces, 2), threads, 0, stream_of(queue)>>>(pieces, flags);
}

void cuda_wait(const Pieces& pieces, const HandshakeFlags& flags, const Queue& queue) noexcept {
  const CurrentGpu current(queue.place().index);
  // One group a thread: each load takes a journey over the bus.
  wait_kernel<<<blocks_of(pieces, 1), threads, 0, stream_of(queue)>>>(pieces, flags);
}

}  // namespace ktx::device
