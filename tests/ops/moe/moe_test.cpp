// Routed experts against the reference, with experts of no, few and many tokens.
// covers: moe_tiles, moe_work
#include "ops/moe/moe.hpp"

#include <algorithm>

#include "../ops_numbers.hpp"
#include "catch.hpp"
#include "ops/f32/f32.hpp"
#include "ops/linear/linear.hpp"
#include "ops/matmul/counting_kernel.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/matmul/node_matrices.hpp"
#include "support/emulated/emulated_amx.hpp"

using namespace ktx_test;
using ktx::hw::WorkerPool;

namespace {

struct Shape {
  int experts, top_k;
  int64_t hidden, intermediate;
};

/// One matrix of all experts: in rows for the reference, and packed.
struct Stack {
  Stack(Format format, const ops::MatmulKernel& kernel, int experts, int64_t rows, int64_t cols,
        Random& random) {
    const auto layout = kernel.layout(format);
    const int64_t row_matrix = rows * quant::row_bytes(format, cols);
    const int64_t packed_matrix = ops::packed_bytes(layout, format, rows, cols);
    packed = ktx::base::Buffer(static_cast<size_t>(experts * packed_matrix));
    for (int e = 0; e < experts; ++e) {
      const Matrix matrix(format, rows, cols, random);
      const auto bytes = matrix.pack(layout);
      plain.insert(plain.end(), matrix.bytes.begin(), matrix.bytes.end());
      std::memcpy(packed.data() + e * packed_matrix, bytes.data(), bytes.size());
    }
    const ops::PackedMatrix matrix{
        .format = format, .rows = rows, .cols = cols, .decode = &kernel, .prefill = &kernel};
    fast = reference = matrix;
    fast.data = packed.data();
    fast.matrix_bytes = packed_matrix;
    reference.data = plain.data();
    reference.matrix_bytes = row_matrix;
  }
  std::vector<std::byte> plain;
  ktx::base::Buffer packed;
  ops::PackedMatrix fast, reference;
};

struct Experts {
  Experts(const Shape& of, Format gate_format, Format down_format, const ops::MatmulKernel& kernel,
          Random& random)
      : shape(of),
        gate(gate_format, kernel, of.experts, of.intermediate, of.hidden, random),
        up(gate_format, kernel, of.experts, of.intermediate, of.hidden, random),
        down(down_format, kernel, of.experts, of.hidden, of.intermediate, random) {}

  ops::MoeArgs args(const std::vector<float>& x, const std::vector<int32_t>& ids,
                    const std::vector<float>& weights) const {
    return {.x = x.data(),
            .x_stride = shape.hidden,
            .tokens = static_cast<int64_t>(x.size()) / shape.hidden,
            .ids = ids.data(),
            .weights = weights.data(),
            .top_k = shape.top_k,
            .experts = shape.experts,
            .hidden = shape.hidden,
            .intermediate = shape.intermediate,
            .silu = &ops::f32::best_kernel(ktx::hw::usable_isa())};
  }
  Shape shape;
  Stack gate, up, down;
};

/// threads: of each NUMA node. in_place: y is what is added to.
std::vector<float> run(const Experts& experts, ops::MoeArgs args, const std::vector<int>& threads,
                       Spread spread = Spread::together, bool in_place = false) {
  WorkerPool pool(pool_nodes(threads));
  const NodeMatrices gate(experts.gate.fast, args.experts, spread, threads);
  const NodeMatrices up(experts.up.fast, args.experts, spread, threads);
  const NodeMatrices down(experts.down.fast, args.experts, spread, threads);
  args.gate = gate.matrix;
  args.up = up.matrix;
  args.down = down.matrix;
  ktx::base::Buffer scratch(
      static_cast<size_t>(ops::moe_scratch_bytes({.gate = args.gate,
                                                  .up = args.up,
                                                  .down = args.down,
                                                  .shared = args.shared,
                                                  .experts = args.experts,
                                                  .top_k = args.top_k,
                                                  .max_tokens = args.tokens})) +
      64);
  args.scratch = scratch.data();
  std::vector<float> y(static_cast<size_t>(args.tokens * args.hidden), 7.0f);
  args.y = y.data();
  args.y_stride = args.hidden;
  if (in_place) args.add = y.data();
  ops::moe(args, pool);
  return y;
}

std::vector<float> run_ref(const Experts& experts, ops::MoeArgs args) {
  args.gate = experts.gate.reference;
  args.up = experts.up.reference;
  args.down = experts.down.reference;
  std::vector<float> y(static_cast<size_t>(args.tokens * args.hidden), 7.0f);
  args.y = y.data();
  args.y_stride = args.hidden;
  ops::moe_ref(args);
  return y;
}

/// Distinct experts for each token; low numbers are much likelier, so that experts get from none to
/// all of the tokens.
std::vector<int32_t> skewed_ids(const Shape& shape, int64_t tokens, Random& random) {
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<bool> taken(static_cast<size_t>(shape.experts));
    for (int i = 0; i < shape.top_k;) {
      const int e = std::min(random.below(shape.experts), random.below(shape.experts));
      if (taken[static_cast<size_t>(e)]) continue;
      taken[static_cast<size_t>(e)] = true;
      ids.push_back(e);
      ++i;
    }
  }
  return ids;
}

std::vector<float> router_weights(size_t count, Random& random) {
  std::vector<float> weights(count);
  for (float& weight : weights) weight = random.below(5) == 0 ? 0.0f : std::fabs(random.normal());
  return weights;
}

}  // namespace

TEST_CASE("experts of many tokens on tiles equal the reference, on any number of threads") {
  const auto& kernel = ktx::test::emulated_amx_kernel();
  if (kernel.isa > ktx::hw::usable_isa()) SKIP("no AVX-512 VBMI for emulated tiles");
  Random random(3);
  for (const auto& [gate, down] :
       {std::pair{Format::q4_k, Format::q6_k}, std::pair{Format::int4_64, Format::f32},
        std::pair{Format::bf16, Format::int8}, std::pair{Format::int8, Format::int8},
        std::pair{Format::iq3_s, Format::fp8}}) {
    const Experts experts({9, 3, 512, 512}, gate, down, kernel, random);
    for (const int64_t tokens : {20, 300}) {  // experts of few tokens and of many in one step
      INFO(quant::name(gate) << " " << quant::name(down) << " tokens " << tokens);
      const auto x = random.normals(tokens * 512);
      const auto ids = skewed_ids(experts.shape, tokens, random);
      const auto weights = router_weights(ids.size(), random);
      const auto args = experts.args(x, ids, weights);
      const auto y = run(experts, args, {1});
      REQUIRE(ktx::test::relative_distance(y, run_ref(experts, args)) <= 0.03);
      for (const std::vector<int>& threads : {std::vector<int>{2}, {5}})
        REQUIRE(run(experts, args, threads) == y);
      for (const auto spread :
           {Spread::together, Spread::replicate, Spread::shard, Spread::one_node}) {
        REQUIRE(run(experts, args, {1, 1}, spread) == y);
        REQUIRE(run(experts, args, {3, 1}, spread) == y);
      }
    }
  }
}

TEST_CASE("gate and up of two formats, and widths of no whole chunk, on tiles") {
  const auto& kernel = ktx::test::emulated_amx_kernel();
  if (kernel.isa > ktx::hw::usable_isa()) SKIP("no AVX-512 VBMI for emulated tiles");
  Random random(13);
  Experts experts({3, 2, 320, 448}, Format::int4_32, Format::q8_0, kernel, random);
  for (const Format up : {Format::int4_32, Format::q5_0}) {
    experts.up = Stack(up, kernel, 3, 448, 320, random);
    const auto x = random.normals(40 * 320);
    const auto ids = skewed_ids(experts.shape, 40, random);
    const auto weights = router_weights(ids.size(), random);
    const auto args = experts.args(x, ids, weights);
    const auto y = run(experts, args, {1});
    REQUIRE(ktx::test::relative_distance(y, run_ref(experts, args)) <= 0.03);
    REQUIRE(run(experts, args, {3}) == y);
  }
}

TEST_CASE("moe equals the reference on every kernel, for any routing and number of threads") {
  Random random(1);
  for (const auto& kernel : ops::matmul_kernels()) {
    if (kernel.isa > ktx::hw::usable_isa()) continue;
    for (const auto& [gate, down, tolerance] :
         {std::tuple{Format::f32, Format::f32, 1e-5}, std::tuple{Format::bf16, Format::bf16, 0.03},
          std::tuple{Format::q4_k, Format::q6_k, 0.03},
          std::tuple{Format::int4_64, Format::f32, 0.03},
          std::tuple{Format::iq3_s, Format::q8_0, 0.03}}) {
      const Experts experts({9, 3, 256, 512}, gate, down, kernel, random);
      for (const int64_t tokens : {0, 1, 5, 100}) {
        INFO(kernel.name << " " << quant::name(gate) << " " << quant::name(down) << " tokens "
                         << tokens);
        const auto x = random.normals(tokens * 256);
        const auto ids = skewed_ids(experts.shape, tokens, random);
        const auto weights = router_weights(ids.size(), random);
        const auto args = experts.args(x, ids, weights);
        const auto y = run(experts, args, {1});
        // With q8 activations x and h are off by about 0.4 % of their norms each (half a step of
        // absmax / 127 in blocks of 32), and the product gate * up doubles x's part.
        REQUIRE(ktx::test::relative_distance(y, run_ref(experts, args)) <= tolerance);
        for (const int threads : {2, 3, 5}) REQUIRE(run(experts, args, {threads}) == y);
      }
    }
  }
}

TEST_CASE("widths that no block divides run on the reference kernel") {
  Random random(2);
  const auto& kernel = *ops::find_matmul_kernel("ref");
  const Experts experts({4, 2, 52, 70}, Format::bf16, Format::int8, kernel, random);
  const auto x = random.normals(11 * 52);
  const auto ids = skewed_ids(experts.shape, 11, random);
  const auto weights = router_weights(ids.size(), random);
  const auto args = experts.args(x, ids, weights);
  REQUIRE(ktx::test::relative_distance(run(experts, args, {2}), run_ref(experts, args)) <= 1e-5);
}

TEST_CASE("unused ids, and experts that are elsewhere, add nothing") {
  Random random(11);
  const auto& best = ops::best_matmul_kernel(ktx::hw::usable_isa(), Format::q8_0, 128, 256);
  for (const ops::MatmulKernel* kernel : {&best, ops::find_matmul_kernel("ref")}) {
    const Experts experts({6, 3, 256, 128}, Format::q8_0, Format::q8_0, *kernel, random);
    for (const int64_t tokens : {1, 5, 40}) {
      INFO(kernel->name << " tokens " << tokens);
      const auto x = random.normals(tokens * 256);
      auto ids = skewed_ids(experts.shape, tokens, random);
      const auto weights = router_weights(ids.size(), random);
      for (size_t p = 0; p < ids.size(); p += 4) ids[p] = -1;
      auto args = experts.args(x, ids, weights);
      const auto close = [&] {
        return ktx::test::relative_distance(run(experts, args, {2}), run_ref(experts, args)) < 0.03;
      };
      REQUIRE(close());

      // Experts 1, 3, 5 are here, as matrices 2, 0, 1.
      const std::vector<int32_t> slots{-1, 2, -1, 0, -1, 1};
      args.slots = slots.data();
      REQUIRE(close());

      const std::vector<int32_t> nowhere(6, -1);
      args.slots = nowhere.data();
      REQUIRE(run(experts, args, {2}) == std::vector<float>(x.size(), 0.0f));
    }
  }
}

namespace {

/// A shared expert with 1.5 times the rows, in formats of its own.
struct Shared {
  Shared(const Shape& of, Format gate_format, Format down_format, const ops::MatmulKernel& kernel,
         Random& random)
      : gate(gate_format, kernel, 1, of.intermediate / 2 * 3, of.hidden, random),
        up(gate_format, kernel, 1, of.intermediate / 2 * 3, of.hidden, random),
        down(down_format, kernel, 1, of.hidden, of.intermediate / 2 * 3, random) {}
  Stack gate, up, down;
};

/// Routed experts, then layers and sums of their own: y = add + (routed + shared).
std::vector<float> run_apart(const Experts& experts, const Shared& shared, ops::MoeArgs args) {
  const std::vector<float> added(args.add, args.add + args.tokens * args.hidden);
  args.add = nullptr;
  args.shared = nullptr;
  auto y = run(experts, args, {1});
  WorkerPool pool(2);
  const auto times = [&](const Stack& stack, const float* x) {
    const auto& w = stack.fast;
    std::vector<float> product(static_cast<size_t>(args.tokens * w.rows));
    ktx::base::Buffer scratch(static_cast<size_t>(ops::linear_scratch_bytes(w, args.tokens)) + 64);
    ops::linear({.x = x,
                 .x_stride = w.cols,
                 .tokens = args.tokens,
                 .w = &w,
                 .y = product.data(),
                 .y_stride = w.rows,
                 .decode_kernel = args.decode_kernels,
                 .scratch = scratch.data()},
                pool);
    return product;
  };
  auto h = times(shared.gate, args.x);
  const auto up = times(shared.up, args.x);
  args.silu->functions->silu_mul(h.data(), up.data(), h.data(), static_cast<int64_t>(h.size()));
  const auto out = times(shared.down, h.data());
  for (size_t i = 0; i < y.size(); ++i) y[i] = added[i] + (y[i] + out[i]);
  return y;
}

}  // namespace

TEST_CASE("a shared expert in the passes of the others changes no number, on any threads") {
  Random random(5);
  for (const auto& kernel : ops::matmul_kernels()) {
    if (kernel.isa > ktx::hw::usable_isa()) continue;
    for (const auto& [routed, shared_gate, shared_down] :
         {std::tuple{Format::q4_k, Format::q5_k, Format::q6_k},
          std::tuple{Format::int4_64, Format::bf16, Format::q8_0},
          std::tuple{Format::bf16, Format::int8, Format::f32}}) {
      const Experts experts({9, 3, 256, 512}, routed, routed, kernel, random);
      const Shared shared(experts.shape, shared_gate, shared_down, kernel, random);
      const ops::SharedExpert fast{shared.gate.fast, shared.up.fast, shared.down.fast};
      const ops::SharedExpert reference{shared.gate.reference, shared.up.reference,
                                        shared.down.reference};
      for (const int64_t tokens : {1, 3, 8}) {
        INFO(kernel.name << " " << quant::name(routed) << " " << tokens << " tokens");
        const auto x = random.normals(tokens * 256), add = random.normals(tokens * 256);
        auto ids = skewed_ids(experts.shape, tokens, random);
        const auto weights = router_weights(ids.size(), random);
        auto args = experts.args(x, ids, weights);
        args.add = add.data();
        const auto y = run_apart(experts, shared, args);
        args.shared = &fast;
        for (const std::vector<int>& threads : {std::vector<int>{1}, {2}, {5}, {1, 1}, {3, 1}})
          REQUIRE(run(experts, args, threads) == y);
        REQUIRE(run(experts, args, {1, 2}, Spread::shard) == y);
        args.decode_kernels = true;
        REQUIRE(run(experts, args, {2}) == run_apart(experts, shared, args));
        args.shared = &reference;
        REQUIRE(ktx::test::relative_distance(y, run_ref(experts, args)) <= 0.03);

        // Alone: no expert was chosen.
        args.shared = &fast;
        std::ranges::fill(ids, -1);
        const auto alone = run(experts, args, {2});
        REQUIRE(alone != add);
        REQUIRE(alone == run_apart(experts, shared, args));
      }
    }
  }
}

TEST_CASE("what is added to may be where the result goes, and there may be nothing else") {
  Random random(6);
  const auto& kernel = ops::best_matmul_kernel(ktx::hw::usable_isa(), Format::q8_0, 128, 256);
  const Experts experts({6, 3, 256, 128}, Format::q8_0, Format::q8_0, kernel, random);
  const auto x = random.normals(2 * 256);
  const auto ids = skewed_ids(experts.shape, 2, random);
  const auto weights = router_weights(ids.size(), random);
  auto args = experts.args(x, ids, weights);
  const auto plain = run(experts, args, {2});
  const std::vector<float> sevens(x.size(), 7.0f);  // what run() leaves in y
  args.add = sevens.data();
  const auto y = run(experts, args, {2});
  for (size_t i = 0; i < y.size(); ++i) REQUIRE(y[i] == 7.0f + plain[i]);
  args.add = nullptr;
  REQUIRE(run(experts, args, {2}, Spread::together, true) == y);

  const std::vector<int32_t> nowhere(6, -1);
  args.slots = nowhere.data();
  REQUIRE(run(experts, args, {2}, Spread::together, true) == sevens);
}

/// Every kernel of this CPU with formats of every kind.
std::vector<std::pair<const ops::MatmulKernel*, Format>> decode_cases() {
  std::vector<std::pair<const ops::MatmulKernel*, Format>> cases;
  for (const auto& kernel : ops::matmul_kernels())
    for (const Format format : {Format::q4_k, Format::q6_k, Format::q8_0, Format::int8,
                                Format::int4_64, Format::fp8, Format::bf16, Format::iq3_s})
      if (kernel.isa <= ktx::hw::usable_isa() && kernel.refusal(format, 256, 512).empty())
        cases.emplace_back(&kernel, format);
  return cases;
}

TEST_CASE("with decode kernels a token's result is what it is alone, to the bit") {
  Random random(12);
  for (const auto& [kernel, format] : decode_cases()) {
    INFO(kernel->name << " " << quant::name(format));
    const Experts experts({4, 2, 512, 256}, format, format, *kernel, random);
    const int64_t tokens = 35;  // experts get from none to nearly all
    const auto x = random.normals(tokens * 512);
    const auto ids = skewed_ids(experts.shape, tokens, random);
    const auto weights = router_weights(ids.size(), random);
    auto args = experts.args(x, ids, weights);
    args.decode_kernels = true;
    const auto together = run(experts, args, {2});
    for (int64_t t = 0; t < tokens; ++t) {
      auto one = args;
      one.x += t * 512;
      one.ids += t * 2;
      one.weights += t * 2;
      one.tokens = 1;
      const auto alone = run(experts, one, {2});
      REQUIRE(std::equal(alone.begin(), alone.end(), together.begin() + t * 512));
    }
  }
}

TEST_CASE("moe on several NUMA nodes: the numbers are those of one, whatever each node holds") {
  Random random(3);
  const auto isa = ktx::hw::usable_isa();
  for (const auto& [gate, down] :
       {std::pair{Format::q4_k, Format::q6_k}, std::pair{Format::iq3_s, Format::bf16}}) {
    const auto& kernel = ops::best_matmul_kernel(isa, gate, 512, 256);
    const Experts experts({5, 2, 1024, 512}, gate, down, kernel, random);
    for (const int64_t tokens : {1, 3, 40}) {
      const auto x = random.normals(tokens * 1024);
      const auto ids = skewed_ids(experts.shape, tokens, random);
      const auto weights = router_weights(ids.size(), random);
      const auto args = experts.args(x, ids, weights);
      const auto y = run(experts, args, {1});
      for (const std::vector<int>& threads :
           {std::vector<int>{1, 1}, {3, 1}, {1, 0, 2}, {1, 2, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}})
        for (const auto spread : {Spread::replicate, Spread::shard, Spread::one_node}) {
          INFO(quant::name(gate) << " " << tokens << " tokens, " << threads.size() << " nodes, "
                                 << static_cast<int>(spread));
          REQUIRE(run(experts, args, threads, spread) == y);
        }
    }
  }
}

TEST_CASE("routed experts and the shared one may lie on NUMA nodes in different ways") {
  Random random(4);
  const auto& kernel = ops::best_matmul_kernel(ktx::hw::usable_isa(), Format::q4_k, 512, 256);
  const Experts experts({5, 3, 2048, 256}, Format::q4_k, Format::q4_k, kernel, random);
  const Shared shared(experts.shape, Format::q4_k, Format::q8_0, kernel, random);
  for (const int64_t tokens : {1, 2, 8}) {  // of 2, a worker takes 3 groups of rows at a time
    const auto x = random.normals(tokens * 2048), add = random.normals(tokens * 2048);
    const auto ids = skewed_ids(experts.shape, tokens, random);
    const auto weights = router_weights(ids.size(), random);
    auto args = experts.args(x, ids, weights);
    args.add = add.data();
    const auto y = run_apart(experts, shared, args);
    for (const std::vector<int>& threads :
         {std::vector<int>{1, 1}, {5, 3}, {3, 0, 3}, {3, 3, 3}, {1, 2, 1, 1}})
      for (const auto spread : {Spread::replicate, Spread::shard, Spread::one_node})
        for (const auto other : {Spread::replicate, Spread::shard, Spread::one_node}) {
          INFO(tokens << " tokens, " << threads.size() << " nodes, " << static_cast<int>(spread)
                      << " and " << static_cast<int>(other));
          const NodeMatrices gate(shared.gate.fast, 1, other, threads);
          const NodeMatrices up(shared.up.fast, 1, other, threads);
          const NodeMatrices down(shared.down.fast, 1, other, threads);
          const ops::SharedExpert on_nodes{gate.matrix, up.matrix, down.matrix};
          args.shared = &on_nodes;
          CHECK(run(experts, args, threads, spread) == y);
        }
  }
}

namespace {

/// Experts whose kernels count; `top_k` is 1.
Experts counted_experts(int experts, Random& random) {
  Experts made({experts, 1, 64, 96}, Format::f32, Format::f32, *ops::find_matmul_kernel("ref"),
               random);
  for (Stack* stack : {&made.gate, &made.up, &made.down}) {
    stack->fast.decode = &counting_kernel<Phase::decode>();
    stack->fast.prefill = &counting_kernel<Phase::prefill>();
  }
  return made;
}

constexpr int64_t numbers_of_pair = 2 * 96 + 64;  // gate and up, then down

}  // namespace

TEST_CASE("an expert of 8 tokens runs the decode kernel, one of 9 the prompt's, in the same step") {
  Random random(12);
  const Experts experts = counted_experts(3, random);
  std::vector<int32_t> ids(8, 0);
  ids.insert(ids.end(), 9, 2);
  const auto x = random.normals(17 * 64);
  const auto weights = router_weights(ids.size(), random);
  count_anew();
  run(experts, experts.args(x, ids, weights), {3});
  REQUIRE(numbers_made<Phase::decode> == 8 * numbers_of_pair);
  REQUIRE(numbers_made<Phase::prefill> == 9 * numbers_of_pair);
}

TEST_CASE("experts without tokens cost nothing: no product is made of them") {
  Random random(13);
  const Experts experts = counted_experts(200, random);
  const std::vector<int32_t> ids{7, 7, 150};
  const auto x = random.normals(3 * 64);
  const auto weights = router_weights(ids.size(), random);
  count_anew();
  run(experts, experts.args(x, ids, weights), {3});
  REQUIRE(numbers_made<Phase::decode> == 3 * numbers_of_pair);
  REQUIRE(numbers_made<Phase::prefill> == 0);
}
