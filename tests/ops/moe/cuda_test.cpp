// Routed experts of a GPU against the formula in double.
#include "ops/moe/cuda.hpp"

#include "catch.hpp"
#include "ops/cuda/refusals.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/ops_numbers.hpp"
#include "support/gpu.hpp"

using namespace ktx_test;
namespace cuda = ktx::ops::cuda;

namespace {

constexpr int experts = 9, top_k = 3, missing = 4;

struct Shape {
  int64_t hidden = 512, intermediate = 256;
};

float round_bf16(float x) {
  return quant::bf16_to_f32(quant::f32_to_bf16(x));
}

struct Experts {
  Experts(ktx::test::Gpu& gpu, Format gate_up, Format down_format, Random& random,
          const Shape& shape = {})
      : hidden(shape.hidden), intermediate(shape.intermediate) {
    std::vector<cuda::ExpertWeights> rows(experts);
    for (int e = 0; e < experts; ++e) {
      gate.emplace_back(gate_up, intermediate, hidden, random);
      up.emplace_back(gate_up, intermediate, hidden, random);
      down.emplace_back(down_format, hidden, intermediate, random);
      const auto upload = [&](const Matrix& matrix) {
        const auto packed = matrix.pack(ops::Layout::x16);
        blocks.push_back(gpu.upload(packed.data(), packed.size()));
        return blocks.back().as<const uint8_t>();
      };
      if (e == missing) continue;
      const auto* g = upload(gate.back());
      const auto* u = upload(up.back());
      rows[static_cast<size_t>(e)] = {g, u, upload(down.back())};
    }
    table = gpu.upload(rows);
  }

  /// w * down(silu(gate x) * (up x)) of expert e, added to y.
  void add(size_t e, float w, const std::vector<float>& x, float* y) const {
    std::vector<float> h;
    for (int64_t r = 0; r < intermediate; ++r) {
      const double a = dot(gate[e].row(r), x.data(), hidden);
      h.push_back(round_bf16(
          static_cast<float>(a / (1 + std::exp(-a)) * dot(up[e].row(r), x.data(), hidden))));
    }
    for (int64_t r = 0; r < hidden; ++r)
      y[r] += w * static_cast<float>(dot(down[e].row(r), h.data(), intermediate));
  }

  int64_t hidden, intermediate;
  std::vector<Matrix> gate, up, down;
  std::vector<ktx::device::Block> blocks;
  ktx::device::Block table;
};

/// Distinct experts for each token, now and then none.
std::vector<int32_t> random_ids(int64_t tokens, Random& random) {
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < tokens; ++t) {
    const int first = random.below(experts);
    for (int i = 0; i < top_k; ++i)
      ids.push_back(i > 0 && random.below(5) == 0 ? -1 : (first + 2 * i) % experts);
  }
  return ids;
}

void check(ktx::test::Gpu& gpu, const Experts& weights, Format gate_up, Format down, int64_t tokens,
           Random& random) {
  const int64_t hidden = weights.hidden, intermediate = weights.intermediate;
  INFO(quant::name(gate_up) << ", " << quant::name(down) << " x " << tokens);
  std::vector<uint16_t> x;
  for (int64_t i = 0; i < tokens * hidden; ++i) x.push_back(quant::f32_to_bf16(random.normal()));
  const std::vector<int32_t> ids = random_ids(tokens, random);
  const std::vector<float> w = random.normals(tokens * top_k);
  const std::vector<float> added = random.normals(tokens * hidden);

  const auto on_x = gpu.upload(x), on_ids = gpu.upload(ids), on_w = gpu.upload(w),
             on_added = gpu.upload(added), y = gpu.poisoned(added.size() * 4);
  cuda::MoeArgs args{.x = on_x.as<uint16_t>(),
                     .x_stride = hidden,
                     .tokens = tokens,
                     .ids = on_ids.as<int32_t>(),
                     .weights = on_w.as<float>(),
                     .top_k = top_k,
                     .experts = experts,
                     .table = weights.table.as<cuda::ExpertWeights>(),
                     .hidden = hidden,
                     .intermediate = intermediate,
                     .gate_up = gate_up,
                     .down = down,
                     .y = y.as<float>(),
                     .y_stride = hidden,
                     .add = on_added.as<float>(),
                     .scratch_pairs = tokens * top_k};
  const auto scratch =
      gpu.poisoned(static_cast<size_t>(cuda::moe_scratch_bytes(args, tokens, tokens * top_k)));
  args.scratch = scratch.data();
  REQUIRE(cuda::moe_refusal(gate_up, down, hidden, intermediate).empty());
  cuda::moe(args, gpu.queue());
  const auto got = gpu.download<float>(y);

  std::vector<float> expected(added.size(), 0.f), without = got;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<float> row;
    for (int64_t c = 0; c < hidden; ++c)
      row.push_back(quant::bf16_to_f32(x[static_cast<size_t>(t * hidden + c)]));
    for (int64_t i = t * top_k; i < (t + 1) * top_k; ++i) {
      const int id = ids[static_cast<size_t>(i)];
      if (id >= 0 && id != missing)
        weights.add(static_cast<size_t>(id), w[static_cast<size_t>(i)], row,
                    expected.data() + t * hidden);
    }
  }
  for (size_t i = 0; i < added.size(); ++i) without[i] -= added[i];
  // What lies between is rounded to bf16, and of q6_k the weights.
  CHECK(ktx::test::relative_distance(without, expected) < 0x1p-8);

  cuda::moe(args, gpu.queue());
  const auto again = gpu.download<float>(y);
  CHECK(std::memcmp(got.data(), again.data(), got.size() * 4) == 0);

  // In parts: scratch for the pairs of two experts, each at the slot of its number.
  cuda::ExpertOrder order;
  for (const int e : {7, 3, 0, 8, 5, 1, 6, 2}) {
    order.expert[static_cast<size_t>(order.count)] = static_cast<uint16_t>(e);
    order.slot[static_cast<size_t>(order.count++)] = static_cast<uint8_t>(e);
  }
  args.scratch_pairs = std::min(2, top_k) * tokens;
  cuda::moe_begin(args, order, gpu.queue());
  for (const auto& [begin, end] :
       {std::pair{0, 2}, std::pair{2, 3}, std::pair{3, 5}, std::pair{5, 7}, std::pair{7, 8}})
    cuda::moe_part(args, begin, end, gpu.queue());
  auto parts = gpu.download<float>(y);
  for (size_t i = 0; i < added.size(); ++i) parts[i] -= added[i];
  CHECK(ktx::test::relative_distance(parts, expected) < 0x1p-8);
}

}  // namespace

TEST_CASE("cuda: routed experts, some of them missing, some pairs unused") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  Random random(21);
  for (const auto& [gate_up, down] :
       {std::pair{Format::q4_k, Format::q6_k}, std::pair{Format::q4_k, Format::q4_k},
        std::pair{Format::q5_k, Format::q8_0}, std::pair{Format::int4_64, Format::int4_32},
        std::pair{Format::int8, Format::int8_128}, std::pair{Format::bf16, Format::fp8}}) {
    const Experts weights(gpu, gate_up, down, random);
    for (const int64_t tokens : {1, 3, 6, 40, 100, 500})
      check(gpu, weights, gate_up, down, tokens, random);
  }
  const Experts weights(gpu, Format::q4_k, Format::q4_k, random);
  check(gpu, weights, Format::q4_k, Format::q4_k, 1500, random);  // all warps sort, in turns
  // Rows and columns that fill no block.
  const Experts odd(gpu, Format::int8_32, Format::bf16, random,
                    {.hidden = 416, .intermediate = 160});
  for (const int64_t tokens : {3, 100, 500})
    check(gpu, odd, Format::int8_32, Format::bf16, tokens, random);
}
