// The engine: a model loaded through its plan, ready to run sessions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "ktx/plan.hpp"
#include "ktx/tokenizer.hpp"

namespace ktx {

namespace engine {
struct EngineState;
}

/// Where loading is: bytes of the checkpoint consumed, of those that have to be read.
struct LoadProgress {
  std::string module;  // being loaded
  uint64_t done = 0, total = 0;
};

struct LoadOptions {
  /// A directory that keeps packed weights: what another start packed in the same way from the same
  /// content is mapped instead of read. Empty: none. ktx never deletes entries; you may at any
  /// time.
  std::filesystem::path cache;
  /// Called from the loading thread as modules are packed.
  std::function<void(const LoadProgress&)> progress;
};

/// What loading did.
struct LoadReport {
  double seconds = 0;
  uint64_t source_bytes = 0;  // read from the checkpoint
  uint64_t weight_bytes = 0;  // in memory, packed
  uint64_t cached_bytes = 0;  // of these mapped from the cache
};

class Engine {
 public:
  /// Opens the checkpoint, quantizes and packs every module as the plan says.
  /// Throws ktx::Error: input for a broken checkpoint, environment when memory runs out.
  explicit Engine(const Plan& plan, const LoadOptions& options = {});

  const Plan& plan() const noexcept;
  /// Opened on first use. Throws input error when the checkpoint has no tokenizer that ktx can
  /// read.
  const Tokenizer& tokenizer() const;
  const LoadReport& load_report() const noexcept;

  int vocab_size() const noexcept;        // numbers in a logits row
  int64_t cache_length() const noexcept;  // tokens that a session can hold

  std::shared_ptr<engine::EngineState> share_state() const noexcept { return state_; }

 private:
  std::shared_ptr<engine::EngineState> state_;
};

}  // namespace ktx
