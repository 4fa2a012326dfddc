// The devices that a plan uses: a queue for each, and on GPUs what their kernels share.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device/place.hpp"
#include "core/device/queue.hpp"
#include "core/hw/worker_pool.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// What the kernels of one GPU share: memory for sums, libraries' handles (cuda_kit.hpp).
struct CudaKit;
struct CudaKitDeleter {
  void operator()(CudaKit* kit) const noexcept;
};
using CudaKitPointer = std::unique_ptr<CudaKit, CudaKitDeleter>;
/// Throws environment error.
CudaKitPointer make_cuda_kit(device::Queue& queue);
/// Bytes of the GPU's memory that a kit takes.
uint64_t cuda_kit_bytes() noexcept;
/// Bytes/s at which experts are streamed, as measured while loading; 0: they are not.
double stream_bandwidth(const CudaKit& kit) noexcept;
/// Whether one side has given up waiting for the other.
bool lost_handshake(const CudaKit& kit) noexcept;
/// Resets both sides. Throws environment error when the GPU has failed.
void reset_handshake(CudaKit& kit);

/// The places that a plan names: the CPU first.
std::vector<device::Place> places_of(const placement::Plan& plan);

class Devices {
 public:
  /// places: the CPU first. Throws environment error when a GPU is missing or refuses.
  Devices(std::vector<device::Place> places, hw::WorkerPool& pool);

  std::span<const device::Place> places() const noexcept { return places_; }
  bool has_gpus() const noexcept { return places_.size() > 1; }
  device::Queue& queue(int place) const noexcept { return *queues_[static_cast<size_t>(place)]; }
  /// "experts are streamed to cuda:0 at 53 GB/s", or nothing.
  std::string streaming() const;
  /// Of a GPU.
  CudaKit& kit(int place) const noexcept { return *kits_[static_cast<size_t>(place)]; }

  /// Whether a GPU has failed; costs little and does not wait.
  bool failed() const noexcept;
  /// Whether the handshake of the CPU and a GPU has timed out. A GPU's last wait may time out after
  /// the CPU's part of a step, so call this after waiting for the GPUs.
  bool lost() const noexcept;
  /// Waits for all work. Throws environment error when a GPU has failed.
  void synchronize() const;
  /// After a failed step: waits for all work. If the only fault was that the CPU and a GPU had
  /// waited too long for each other, makes everything ready for another step. Throws environment
  /// error with the reason when a GPU has failed.
  void recover() const;

 private:
  std::vector<device::Place> places_;
  std::vector<std::unique_ptr<device::Queue>> queues_;  // one a place
  std::vector<CudaKitPointer> kits_;                    // one a place; null of the CPU
};

}  // namespace ktx::engine
