// Routed experts and linear layers that take other weights with every call.
#include "engine/bench/subjects.hpp"

#include <algorithm>
#include <vector>

#include "core/base/buffer.hpp"
#include "engine/bench/packed_stack.hpp"
#include "engine/bench/routing.hpp"
#include "ops/linear/linear.hpp"
#include "ops/moe/moe.hpp"

namespace ktx::engine {

namespace {

// Routed experts of a token: DeepSeek-V3's.
constexpr int most_experts_of_token = 8;
// With many tokens per expert more experts are active: a few, to keep calls short, but enough for
// every thread to have as much work as in a whole layer.
constexpr int decode_experts = 8, least_prefill_experts = 16;
constexpr int64_t prefill_tokens = 16;

// ---- weights ----

ops::PackedMatrix matrix_of(quant::Format format, const ops::MatmulKernel& kernel, int64_t rows,
                            int64_t cols) noexcept {
  return {.format = format, .rows = rows, .cols = cols, .decode = &kernel, .prefill = &kernel};
}

ops::PackedMatrix gate_matrix(const BenchSetup& s) noexcept {
  return matrix_of(s.format, *s.gate, s.intermediate, s.hidden);
}

ops::PackedMatrix down_matrix(const BenchSetup& s) noexcept {
  return matrix_of(s.format, *s.down, s.hidden, s.intermediate);
}

// ---- ops ----

class Moe : public BenchSubject {
 public:
  Moe(const BenchSetup& setup, int count, hw::WorkerPool& pool)
      : setup_(setup),
        count_(count),
        pool_(pool),
        gate_(gate_matrix(setup), count, pool),
        up_(gate_matrix(setup), count, pool),
        down_(down_matrix(setup), count, pool) {}

  void set_tokens(int64_t of_expert) override {
    const int prefill_experts = std::max(least_prefill_experts, pool_.threads());
    active_ = std::min(count_, of_expert < prefill_tokens ? decode_experts : prefill_experts);
    int top_k = std::min(active_, most_experts_of_token);
    while (active_ % top_k != 0) --top_k;
    prepare(active_ / top_k * of_expert, top_k);
  }

  // Token after token takes the next top_k of the active experts: each gets as many.
  void call() noexcept override {
    for (size_t i = 0; i < ids_.size(); ++i)
      ids_[i] = (next_ + static_cast<int>(i % static_cast<size_t>(active_))) % count_;
    next_ = (next_ + active_) % count_;
    ops::moe(args_, pool_);
  }

  int active() const noexcept override { return active_; }
  int64_t products() const noexcept override { return static_cast<int64_t>(ids_.size()); }
  double weights() const noexcept override {
    return 3.0 * static_cast<double>(setup_.hidden * setup_.intermediate);
  }
  int64_t bytes() const noexcept override { return bench_bytes(setup_); }

 protected:
  void prepare(int64_t tokens, int top_k) {
    x_ = some_activations(tokens * setup_.hidden);
    y_.resize(x_.size());
    ids_.resize(static_cast<size_t>(tokens * top_k));
    weights_.assign(ids_.size(), 1.0f / static_cast<float>(top_k));
    args_ = {.x = x_.data(),
             .x_stride = setup_.hidden,
             .tokens = tokens,
             .ids = ids_.data(),
             .weights = weights_.data(),
             .top_k = top_k,
             .experts = count_,
             .hidden = setup_.hidden,
             .intermediate = setup_.intermediate,
             .gate = gate_.experts(),
             .up = up_.experts(),
             .down = down_.experts(),
             .silu = &ops::f32::best_kernel(setup_.down->isa),
             .y = y_.data(),
             .y_stride = setup_.hidden};
    scratch_ = base::Buffer(static_cast<size_t>(ops::moe_scratch_bytes({.gate = args_.gate,
                                                                        .up = args_.up,
                                                                        .down = args_.down,
                                                                        .experts = count_,
                                                                        .top_k = top_k,
                                                                        .max_tokens = tokens})),
                            true);
    args_.scratch = scratch_.data();
  }

  BenchSetup setup_;
  int count_, active_ = 1, next_ = 0;
  hw::WorkerPool& pool_;
  PackedStack gate_, up_, down_;
  std::vector<float> x_, y_, weights_;
  std::vector<int32_t> ids_;
  base::Buffer scratch_;
  ops::MoeArgs args_;
};

// All experts of a layer, each with the tokens that a router would give it.
class Layer : public Moe {
 public:
  using Moe::Moe;

  void set_tokens(int64_t tokens) override {
    const int top_k = std::min(count_, most_experts_of_token);
    prepare(tokens, top_k);
    ids_ = some_routes(tokens, count_, top_k);
    args_.ids = ids_.data();
    auto chosen = ids_;
    std::sort(chosen.begin(), chosen.end());
    active_ = static_cast<int>(std::unique(chosen.begin(), chosen.end()) - chosen.begin());
  }

  void call() noexcept override { ops::moe(args_, pool_); }
};

class Linear : public BenchSubject {
 public:
  Linear(const BenchSetup& setup, int count, hw::WorkerPool& pool)
      : setup_(setup), count_(count), pool_(pool), matrices_(gate_matrix(setup), count, pool) {}

  void set_tokens(int64_t tokens) override {
    x_ = some_activations(tokens * setup_.hidden);
    y_.resize(static_cast<size_t>(tokens * setup_.intermediate));
    scratch_ =
        base::Buffer(static_cast<size_t>(ops::linear_scratch_bytes(matrices_.at(0), tokens)), true);
    args_ = {.x = x_.data(),
             .x_stride = setup_.hidden,
             .tokens = tokens,
             .y = y_.data(),
             .y_stride = setup_.intermediate,
             .scratch = scratch_.data()};
  }

  void call() noexcept override {
    const ops::PackedMatrix matrix = matrices_.at(next_);
    next_ = (next_ + 1) % count_;
    args_.w = &matrix;
    ops::linear(args_, pool_);
  }

  int active() const noexcept override { return 1; }
  int64_t products() const noexcept override { return args_.tokens; }
  double weights() const noexcept override {
    return static_cast<double>(setup_.hidden * setup_.intermediate);
  }
  int64_t bytes() const noexcept override { return bench_bytes(setup_); }

 private:
  BenchSetup setup_;
  int count_, next_ = 0;
  hw::WorkerPool& pool_;
  PackedStack matrices_;
  std::vector<float> x_, y_;
  base::Buffer scratch_;
  ops::LinearArgs args_;
};

}  // namespace

int64_t bench_bytes(const BenchSetup& setup) noexcept {
  const int64_t gate = packed_bytes(gate_matrix(setup));
  return setup.down == nullptr ? gate : 2 * gate + packed_bytes(down_matrix(setup));
}

std::unique_ptr<BenchSubject> make_moe_subject(const BenchSetup& setup, int count,
                                               hw::WorkerPool& pool) {
  return std::make_unique<Moe>(setup, count, pool);
}

std::unique_ptr<BenchSubject> make_layer_subject(const BenchSetup& setup, int count,
                                                 hw::WorkerPool& pool) {
  return std::make_unique<Layer>(setup, count, pool);
}

std::unique_ptr<BenchSubject> make_linear_subject(const BenchSetup& setup, int count,
                                                  hw::WorkerPool& pool) {
  return std::make_unique<Linear>(setup, count, pool);
}

}  // namespace ktx::engine
