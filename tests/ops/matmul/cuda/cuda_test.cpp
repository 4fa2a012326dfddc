// Speed of the GPU's products with DeepSeek-V3's shapes, and of a layer of it; hidden: test_ops
// "[cuda-speed]".
//
// Weights are rotated over memory several times as large as the L2 cache; each figure is the median
// of replays of a graph that multiplies by all of them once.
#include <algorithm>
#include <functional>
#include <numeric>

#include "catch.hpp"
#include "core/device/cuda.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/elementwise/cuda.hpp"
#include "ops/matmul/cuda/matmul.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/moe/cuda.hpp"
#include "ops/norm/cuda.hpp"
#include "ops/router/cuda.hpp"
#include "support/gpu_launches.hpp"

using namespace ktx_test;
namespace cuda = ktx::ops::cuda;
namespace device = ktx::device;

namespace {

/// Random bytes on the GPU; of bf16 activations finite ones.
device::Block noise(ktx::test::Gpu& gpu, size_t bytes, bool finite_bf16, Random& random) {
  const size_t piece = std::min(bytes, size_t{16} << 20);
  std::vector<uint16_t> numbers(piece / 2);
  for (auto& number : numbers)
    number = finite_bf16 ? quant::f32_to_bf16(static_cast<float>(random.below(2001) - 1000) / 1000)
                         : static_cast<uint16_t>(random.below(65536));
  device::Block block = device::alloc(ktx::test::Gpu::place, bytes);
  for (size_t at = 0; at < bytes; at += piece)
    gpu.queue().copy(block.data() + at, numbers.data(), std::min(piece, bytes - at));
  gpu.queue().synchronize();
  return block;
}

/// Microseconds that one replay of what `submit` launches into the queue takes: the median of
/// several.
double microseconds(cudaStream_t stream, const std::function<void()>& submit) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  submit();
  cudaStreamSynchronize(stream);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  submit();
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&replay, graph, 0) == cudaSuccess);
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<float> times;
  for (int i = 0; i < 8; ++i) {
    cudaEventRecord(begin, stream);
    cudaGraphLaunch(replay, stream);
    cudaEventRecord(end, stream);
    REQUIRE(cudaEventSynchronize(end) == cudaSuccess);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    if (i > 0) times.push_back(milliseconds * 1000);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  std::ranges::sort(times);
  return times[times.size() / 2];
}

/// Read and written bytes a second of a copy within the GPU.
double copy_bandwidth(ktx::test::Gpu& gpu, const device::Block& arena, cudaStream_t stream) {
  const size_t half = arena.size() / 2;
  const double us =
      microseconds(stream, [&] { gpu.queue().copy(arena.data(), arena.data() + half, half); });
  return 2 * static_cast<double>(half) / us * 1e6;
}

constexpr size_t arena_bytes = size_t{2} << 30;

struct Shape {
  const char* name;
  int64_t cols, rows;
};
constexpr Shape shapes[] = {{"qkv_a", 7168, 2112}, {"q_b", 1536, 24576}, {"o", 16384, 7168},
                            {"gate", 7168, 2048},  {"down", 2048, 7168}, {"head", 7168, 129280}};

struct Bench {
  Bench() : stream(device::stream_of(gpu.queue())), space(gpu.queue()) {
    weights = noise(gpu, arena_bytes, false, random);
    x = noise(gpu, size_t{8192} * 16384 * 2, true, random);
    y = gpu.poisoned(size_t{8192} * 16384 * 4);
    bandwidth = copy_bandwidth(gpu, weights, stream);
    std::printf("copy bandwidth %.0f GB/s\n", bandwidth / 1e9);
  }

  /// Microseconds of one product.
  double product(const Shape& shape, Format format, int64_t tokens) {
    const int64_t bytes = ops::packed_bytes(ops::Layout::x16, format, shape.rows, shape.cols);
    const int64_t copies = std::clamp<int64_t>(static_cast<int64_t>(arena_bytes) / bytes, 1, 48);
    return microseconds(stream,
                        [&] {
                          for (int64_t i = 0; i < copies; ++i)
                            cuda::matmul(
                                {.w = {weights.data() + i * bytes, format, shape.rows, shape.cols},
                                 .x = x.as<uint16_t>(),
                                 .x_stride = shape.cols,
                                 .tokens = tokens,
                                 .y = y.as<float>(),
                                 .y_stride = shape.rows},
                                space);
                        }) /
           static_cast<double>(copies);
  }

  ktx::test::Gpu gpu;
  cudaStream_t stream;
  cuda::MatmulSpace space;
  Random random{31};
  device::Block weights, x, y;
  double bandwidth = 0;
};

}  // namespace

TEST_CASE("cuda: speed of products", "[.][cuda-speed]") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Bench bench;
  std::printf("%-8s %-8s %28s %28s\n", "", "", "us at 1, 4, 8, 16 tokens", "% of copy bandwidth");
  for (const Format format :
       {Format::q4_k, Format::q6_k, Format::q8_0, Format::int4_64, Format::bf16})
    for (const Shape& shape : shapes) {
      if (format == Format::bf16 && shape.rows > 100000) continue;
      const double bytes =
          static_cast<double>(ops::packed_bytes(ops::Layout::x16, format, shape.rows, shape.cols));
      double us[4];
      for (int i = 0; const int64_t tokens : {1, 4, 8, 16})
        us[i++] = bench.product(shape, format, tokens);
      std::printf("%-8s %-8s %6.1f %6.1f %6.1f %6.1f  ", std::string(quant::name(format)).c_str(),
                  shape.name, us[0], us[1], us[2], us[3]);
      for (const double t : us) std::printf("  %5.1f", bytes / t * 1e6 / bench.bandwidth * 100);
      std::printf("\n");
      std::fflush(stdout);
    }
  std::printf("TFLOP/s at 32, 64, 128, 512, 2048, 8192 tokens\n");
  for (const Format format : {Format::q4_k, Format::q8_0})
    for (const Shape& shape : {shapes[1], shapes[2], shapes[3]}) {
      std::printf("%-8s %-8s", std::string(quant::name(format)).c_str(), shape.name);
      for (const int64_t tokens : {32, 64, 128, 512, 2048, 8192}) {
        if (tokens * shape.rows > int64_t{8192} * 16384) continue;
        const double flops = 2e-6 * static_cast<double>(tokens * shape.rows * shape.cols);
        std::printf(" %7.1f", flops / bench.product(shape, format, tokens));
      }
      std::printf("\n");
    }
}

TEST_CASE("cuda: speed of experts", "[.][cuda-speed]") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Bench bench;
  constexpr int64_t hidden = 7168, intermediate = 2048;
  constexpr int top_k = 8;
  std::printf("experts resident, tokens, experts used: us, %% of copy bandwidth\n");
  for (const auto& [gate_up, down] :
       {std::pair{Format::q4_k, Format::q6_k}, std::pair{Format::int4_64, Format::int4_64}}) {
    const int64_t in = ops::packed_bytes(ops::Layout::x16, gate_up, intermediate, hidden),
                  out = ops::packed_bytes(ops::Layout::x16, down, hidden, intermediate);
    std::vector<cuda::ExpertWeights> rows;
    for (int64_t at = 0; at + 2 * in + out <= static_cast<int64_t>(arena_bytes);
         at += 2 * in + out) {
      const auto* base = bench.weights.as<const uint8_t>() + at;
      rows.push_back({base, base + in, base + 2 * in});
    }
    const int experts = static_cast<int>(rows.size());
    const auto table = bench.gpu.upload(rows);
    for (const auto& [tokens, among] : {std::pair<int64_t, int>{1, experts},
                                        {4, experts},
                                        {16, experts},
                                        {512, experts},
                                        {64, 8},
                                        {2048, 8}}) {
      std::vector<int32_t> ids;
      for (int64_t t = 0; t < tokens; ++t) {
        const int first = bench.random.below(among);
        for (int i = 0; i < top_k; ++i) ids.push_back((first + i * 7) % among);
      }
      std::vector<int32_t> used = ids;
      std::ranges::sort(used);
      const auto distinct = std::unique(used.begin(), used.end()) - used.begin();
      const auto on_ids = bench.gpu.upload(ids),
                 w = bench.gpu.upload(bench.random.normals(tokens * top_k));
      cuda::MoeArgs args{.x = bench.x.as<uint16_t>(),
                         .x_stride = hidden,
                         .tokens = tokens,
                         .ids = on_ids.as<int32_t>(),
                         .weights = w.as<float>(),
                         .top_k = top_k,
                         .experts = experts,
                         .table = table.as<cuda::ExpertWeights>(),
                         .hidden = hidden,
                         .intermediate = intermediate,
                         .gate_up = gate_up,
                         .down = down,
                         .y = bench.y.as<float>(),
                         .y_stride = hidden,
                         .scratch_pairs = tokens * top_k};
      const auto scratch =
          device::alloc(ktx::test::Gpu::place,
                        static_cast<size_t>(cuda::moe_scratch_bytes(args, tokens, tokens * top_k)));
      args.scratch = scratch.data();
      const double us = microseconds(bench.stream, [&] { cuda::moe(args, bench.gpu.queue()); });
      std::printf("%s/%s %5ld tokens %3ld experts: %8.1f us %5.1f %% %6.1f TFLOP/s\n",
                  std::string(quant::name(gate_up)).c_str(), std::string(quant::name(down)).c_str(),
                  static_cast<long>(tokens), static_cast<long>(distinct), us,
                  static_cast<double>(distinct * (2 * in + out)) / us * 1e6 / bench.bandwidth * 100,
                  6e-6 * static_cast<double>(tokens * top_k * hidden * intermediate) / us);
    }
  }
}

namespace {

/// What a GPU does of a MoE layer of DeepSeek-V3 for one row behind 1,023 tokens: all but the
/// routed experts and the hand-shake with the CPU that runs them.
class DecodeLayer {
 public:
  struct Step {
    const char* name;
    std::function<void()> submit;
  };

  DecodeLayer(Bench& bench, const std::byte*& weights, const ktx::graph::MlaParams& mla)
      : bench_(bench), mla_(mla) {
    const auto take = [&](int64_t bytes) {
      const std::byte* at = weights;
      weights += (bytes + 255) / 256 * 256;
      REQUIRE(weights <= bench.weights.data() + bench.weights.size());
      return at;
    };
    const auto matrix = [&](Format format, int64_t rows, int64_t cols) {
      const int64_t bytes = ops::packed_bytes(ops::Layout::x16, format, rows, cols);
      return cuda::PackedMatrix{take(bytes), format, rows, cols};
    };
    q_a_ = matrix(Format::q4_k, q_lora, hidden);
    kv_a_ = matrix(Format::q4_k, mla.kv_lora + mla.rope, hidden);
    q_b_ = matrix(Format::q4_k, mla.heads * (mla.nope + mla.rope), q_lora);
    o_ = matrix(Format::q4_k, hidden, mla.heads * mla.v);
    gate_ = matrix(Format::q4_k, intermediate, hidden);
    up_ = matrix(Format::q4_k, intermediate, hidden);
    down_ = matrix(Format::q6_k, hidden, intermediate);
    const auto matrices = [&](int64_t rows, int64_t cols) {
      const auto layout = ops::Layout::rows;
      return take(ops::packed_bytes(layout, latent_format, mla.heads * rows, cols));
    };
    k_b_ = matrices(mla.kv_lora, mla.nope);
    v_b_ = matrices(mla.v, mla.kv_lora);
    router_ = take(experts * hidden * 4);
    norm_ = take(hidden * 4);
    const ktx::graph::KvRow row{mla.kv_lora, 128, mla.rope};
    cache_ = {const_cast<std::byte*>(take(tokens * 2 * row.numbers())), ktx::graph::KvFormat::bf16,
              row, 2 * row.numbers()};
  }

  std::vector<Step> steps() {
    return {{"norm", [this] { normalize(residual(), hidden); }},
            {"q_a|kv_a", [this] { project(); }},
            {"norm of q", [this] { normalize(q_lora_out(), q_lora); }},
            {"q_b", [this] { multiply(q_b_, x(), q_out(), nullptr); }},
            {"mla", [this] { attend(); }},
            {"o + residual", [this] { multiply(o_, x(), residual(), residual()); }},
            {"norm", [this] { normalize(residual(), hidden); }},
            {"router", [this] { route(); }},
            {"gate|up", [this] { gate(); }},
            {"down + residual", [this] { multiply(down_, gated(), residual(), residual()); }},
            {"add", [this] { add(); }}};
  }

 private:
  static constexpr int64_t hidden = 7168, q_lora = 1536, intermediate = 2048, experts = 256;
  static constexpr int64_t tokens = 1024;

  // Parts of bench.y, f32, and of bench.x, bf16.
  float* residual() const { return bench_.y.as<float>(); }
  float* q_lora_out() const { return residual() + 8192; }
  float* latent() const { return q_lora_out() + 8192; }
  float* q_out() const { return latent() + 8192; }
  float* sum() const { return q_out() + 32768; }
  std::byte* scratch() const { return reinterpret_cast<std::byte*>(sum() + 8192); }
  uint16_t* x() const { return bench_.x.as<uint16_t>(); }
  uint16_t* gated() const { return x() + 16384; }

  void normalize(float* of, int64_t width) const {
    cuda::rms_norm({.x = of,
                    .x_stride = width,
                    .y_bf16 = x(),
                    .y_stride = width,
                    .weight = reinterpret_cast<const float*>(norm_),
                    .rows = 1,
                    .width = width},
                   bench_.gpu.queue());
  }
  cuda::MatmulArgs product(const cuda::PackedMatrix& w, const uint16_t* from, float* y,
                           const float* added) const {
    return {.w = w,
            .x = from,
            .x_stride = w.cols,
            .tokens = 1,
            .y = y,
            .y_stride = w.rows,
            .add = added};
  }
  void multiply(const cuda::PackedMatrix& w, const uint16_t* from, float* y, const float* added) {
    cuda::matmul(product(w, from, y, added), bench_.space);
  }
  void project() {
    const cuda::MatmulArgs both[] = {product(q_a_, x(), q_lora_out(), nullptr),
                                     product(kv_a_, x(), latent(), nullptr)};
    cuda::matmul_many(both, bench_.space);
  }
  void attend();
  void route() {
    cuda::router({.params = &router_params_,
                  .x = residual(),
                  .x_stride = hidden,
                  .rows = 1,
                  .hidden = hidden,
                  .weight = reinterpret_cast<const float*>(router_),
                  .most = 8,
                  .ids = ids_.as<int32_t>(),
                  .weights = ids_.as<float>() + 8,
                  .scratch = scratch(),
                  .arrived = arrived_.as<unsigned>()},
                 bench_.gpu.queue());
  }
  void gate() {
    cuda::gated({.gate = gate_,
                 .up = up_,
                 .x = x(),
                 .x_stride = hidden,
                 .tokens = 1,
                 .y = gated(),
                 .y_stride = intermediate},
                bench_.space);
  }
  void add() {
    cuda::add({.a = residual(),
               .a_stride = hidden,
               .b = sum(),
               .b_stride = hidden,
               .y = residual(),
               .y_stride = hidden,
               .tokens = 1,
               .width = hidden},
              bench_.gpu.queue());
  }

  Bench& bench_;
  const ktx::graph::MlaParams& mla_;
  cuda::PackedMatrix q_a_, kv_a_, q_b_, o_, gate_, up_, down_;
  static constexpr Format latent_format = Format::int8;
  const std::byte *k_b_, *v_b_, *router_, *norm_;
  ktx::ops::KvPages cache_;
  ktx::graph::RouterParams router_params_{256, 8, 8, 4, true, true, true, 2.5f};
  device::Block ids_ = bench_.gpu.poisoned(64);
  device::Block arrived_ = bench_.gpu.upload(std::vector<unsigned>{0});
  device::Block numbers_ = bench_.gpu.upload([] {  // first row, rows, past; then room; then pages
    std::vector<int32_t> numbers{0, 1, tokens - 1, 0, 0, 0, 0, 0};
    for (int32_t page = 0; page < tokens / ktx::graph::page_tokens; ++page) numbers.push_back(page);
    return numbers;
  }());
  device::Block rope_ = bench_.gpu.poisoned(size_t(tokens) * 64 * 4);
  cuda::HeadProducts heads_{bench_.gpu.queue()};
  bool numbered_ = false;
};

void DecodeLayer::attend() {
  auto* numbers = numbers_.as<int32_t>();
  const cuda::Batch batch{.rows = 1,
                          .sequences = 1,
                          .first_row = numbers,
                          .row_count = numbers + 1,
                          .past = numbers + 2,
                          .pages = numbers + 8,
                          .most_pages = tokens / ktx::graph::page_tokens,
                          .sequence_of = numbers + 3,
                          .position_of = numbers + 4,
                          .pages_before = numbers + 5};
  if (!numbered_) cuda::number_rows(batch, bench_.gpu.queue());  // once a step
  numbered_ = true;
  cuda::mla({.params = &mla_,
             .k_b = {k_b_, latent_format},
             .v_b = {v_b_, latent_format},
             .rope = {rope_.as<float>(), mla_.rope / 2, true},
             .batch = batch,
             .cache = cache_,
             .decode_rows = 1,
             .q = q_out(),
             .q_stride = mla_.heads * (mla_.nope + mla_.rope),
             .latent = latent(),
             .latent_stride = mla_.kv_lora + mla_.rope,
             .latent_norm = reinterpret_cast<const float*>(norm_),
             .k_rope = latent() + mla_.kv_lora,
             .k_rope_stride = mla_.kv_lora + mla_.rope,
             .out = x(),
             .scratch = scratch()},
            heads_, bench_.gpu.queue());
}

}  // namespace

TEST_CASE("cuda: speed of a layer's decode step", "[.][cuda-speed]") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Bench bench;
  const ktx::graph::MlaParams mla{.heads = 128, .nope = 128, .rope = 64, .v = 128, .kv_lora = 512};
  constexpr int count = 8;  // layers, so that none finds its weights in L2
  const std::byte* weights = bench.weights.data();
  std::vector<std::unique_ptr<DecodeLayer>> layers;
  std::vector<std::vector<DecodeLayer::Step>> steps;
  for (int i = 0; i < count; ++i) {
    layers.push_back(std::make_unique<DecodeLayer>(bench, weights, mla));
    steps.push_back(layers.back()->steps());
    for (const auto& step : steps.back()) step.submit();  // number_rows() is behind it
  }
  bench.gpu.queue().synchronize();
  int launches = 0;
  for (size_t s = 0; s < steps[0].size(); ++s) {
    const double us = microseconds(bench.stream, [&] {
      for (const auto& layer : steps) layer[s].submit();
    });
    const int of_step = ktx::test::launches_of(bench.gpu, steps[0][s].submit);
    launches += of_step;
    std::printf("%-16s %d launches %6.1f us\n", steps[0][s].name, of_step, us / count);
  }
  const double us = microseconds(bench.stream, [&] {
    for (const auto& layer : steps)
      for (const auto& step : layer) step.submit();
  });
  std::printf("%-16s %d launches %6.1f us\n", "the layer", launches, us / count);
}
