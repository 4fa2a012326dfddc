// Streamed experts against the reference, which computes those of the list alone.
#include "engine/run/cuda_expert_stream.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>

#include "catch.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/matmul/node_rows.hpp"
#include "ops/moe/moe.hpp"
#include "ops/ops_numbers.hpp"
#include "support/gpu.hpp"

using namespace ktx_test;
using namespace ktx::engine;
namespace cuda = ktx::ops::cuda;

namespace {

constexpr int experts = 12, top_k = 3, elsewhere = 5;
constexpr int64_t hidden = 512, intermediate = 256;

enum class Nodes { one, shards, replicas };

std::vector<ops::RowRange> ranges(Nodes nodes, int64_t rows) {
  if (nodes == Nodes::one) return {{0, rows}};
  if (nodes == Nodes::replicas) return {{0, rows}, {0, rows}};
  return {{0, rows / 4}, {rows / 4, rows}};
}

/// The matrices of one role of a layer: as the reference reads them, and as the stream does.
struct Role {
  Role(Format format, int64_t rows, int64_t cols, Nodes nodes, Random& random) {
    loaded = {
        .format = format, .layout = ops::Layout::x16, .count = experts, .rows = rows, .cols = cols};
    for (const auto& [begin, end] : ranges(nodes, rows)) {
      const int64_t bytes = ops::packed_bytes(ops::Layout::x16, format, end - begin, cols);
      blocks.push_back(
          ktx::device::alloc({}, static_cast<size_t>(experts * bytes), ktx::device::Pinned::yes));
      loaded.nodes.push_back({blocks.back().data(), begin, end, bytes});
    }
    if (nodes == Nodes::replicas) {  // in another order, and one of them elsewhere
      for (int e = 0; e < experts; ++e) loaded.slots.push_back(experts - 1 - e);
      loaded.slots[elsewhere] = -1;
    }
    for (int e = 0; e < experts; ++e) {
      const Matrix matrix(format, rows, cols, random);
      plain.insert(plain.end(), matrix.bytes.begin(), matrix.bytes.end());
      const int slot = loaded.slots.empty() ? e : loaded.slots[static_cast<size_t>(e)];
      if (slot < 0) continue;
      for (const ops::NodeRows& piece : loaded.nodes)
        ops::pack_matrix(
            {.layout = ops::Layout::x16,
             .format = format,
             .rows = piece.row_end - piece.row_begin,
             .cols = cols,
             .row_end = piece.row_end - piece.row_begin,
             .src = matrix.bytes.data() + piece.row_begin * quant::row_bytes(format, cols),
             .dst = const_cast<std::byte*>(piece.data) + slot * piece.matrix_bytes});
    }
    if (nodes != Nodes::one) return;
    loaded.data = loaded.nodes[0].data;
    loaded.matrix_bytes = loaded.nodes[0].matrix_bytes;
    loaded.nodes.clear();
  }

  ops::PackedMatrix reference() const {
    return {.data = plain.data(),
            .format = loaded.format,
            .rows = loaded.rows,
            .cols = loaded.cols,
            .matrix_bytes = static_cast<int64_t>(plain.size()) / experts};
  }
  int64_t packed_bytes() const {
    return ops::packed_bytes(ops::Layout::x16, loaded.format, loaded.rows, loaded.cols);
  }

  LoadedWeight loaded;
  std::vector<std::byte> plain;
  std::vector<ktx::device::Block> blocks;
};

struct Layer {
  Layer(Format gate_up, Format down_format, Nodes nodes, Random& random)
      : gate(gate_up, intermediate, hidden, nodes, random),
        up(gate_up, intermediate, hidden, nodes, random),
        down(down_format, hidden, intermediate, nodes, random) {}

  LayerExperts experts() const { return {&gate.loaded, &up.loaded, &down.loaded}; }
  int64_t expert_bytes() const {
    return gate.packed_bytes() + up.packed_bytes() + down.packed_bytes();
  }

  Role gate, up, down;
};

/// A step's tokens and their choices, here and on the GPU.
struct Step {
  Step(ktx::test::Gpu& gpu, int64_t count, Random& random) : tokens(count) {
    std::vector<uint16_t> rounded;
    for (int64_t i = 0; i < tokens * hidden; ++i) {
      rounded.push_back(quant::f32_to_bf16(random.normal()));
      x.push_back(quant::bf16_to_f32(rounded.back()));
    }
    for (int64_t t = 0; t < tokens; ++t) {  // distinct experts, now and then fewer
      const int first = random.below(experts);
      for (int i = 0; i < top_k; ++i)
        ids.push_back(i > 0 && random.below(5) == 0 ? -1 : (first + 5 * i) % experts);
    }
    weights = random.normals(tokens * top_k);
    added = random.normals(tokens * hidden);
    on_x = gpu.upload(rounded);
    on_ids = gpu.upload(ids);
    on_weights = gpu.upload(weights);
    on_added = gpu.upload(added);
    args = {.x = on_x.as<uint16_t>(),
            .x_stride = hidden,
            .tokens = tokens,
            .ids = on_ids.as<int32_t>(),
            .weights = on_weights.as<float>(),
            .top_k = top_k,
            .experts = experts,
            .hidden = hidden,
            .intermediate = intermediate,
            .y_stride = hidden,
            .add = on_added.as<float>(),
            .scratch_pairs = tokens};
    scratch = gpu.poisoned(static_cast<size_t>(cuda::moe_scratch_bytes(args, tokens, tokens)));
    args.scratch = scratch.data();
  }

  std::vector<StreamedExpert> with_tokens(const std::vector<int32_t>& list) const {
    std::vector<StreamedExpert> result;
    for (const int32_t e : list)
      result.push_back({e, static_cast<int32_t>(std::count(ids.begin(), ids.end(), e))});
    return result;
  }

  /// What the listed experts of a layer give.
  std::vector<float> expected(const Layer& layer, const std::vector<int32_t>& list) const {
    std::vector<int32_t> slots(experts, -1);
    for (const int32_t e : list) slots[static_cast<size_t>(e)] = e;
    std::vector<float> y(added.size());
    ops::moe_ref({.x = x.data(),
                  .x_stride = hidden,
                  .tokens = tokens,
                  .ids = ids.data(),
                  .weights = weights.data(),
                  .slots = slots.data(),
                  .top_k = top_k,
                  .experts = experts,
                  .hidden = hidden,
                  .intermediate = intermediate,
                  .gate = layer.gate.reference(),
                  .up = layer.up.reference(),
                  .down = layer.down.reference(),
                  .y = y.data(),
                  .y_stride = hidden});
    return y;
  }

  int64_t tokens;
  std::vector<float> x, weights, added;
  std::vector<int32_t> ids;
  ktx::device::Block on_x, on_ids, on_weights, on_added, scratch;
  cuda::MoeArgs args;
};

ExpertStreamShape shape_of(const Layer& layer, int slots, int group) {
  return {.gate_bytes = layer.gate.packed_bytes(),
          .down_bytes = layer.down.packed_bytes(),
          .slots = slots,
          .group = group};
}

/// y of the listed experts, without what it was added to.
std::vector<float> run(ktx::test::Gpu& gpu, ExpertStream& stream, const Layer& layer,
                       const Step& step, const std::vector<int32_t>& list) {
  const auto y = gpu.poisoned(step.added.size() * sizeof(float));
  cuda::MoeArgs args = step.args;
  args.y = y.as<float>();
  stream.run(layer.experts(), step.with_tokens(list), args);
  auto got = gpu.download<float>(y);
  for (size_t i = 0; i < got.size(); ++i) got[i] -= step.added[i];
  return got;
}

// What lies between the products is rounded to bf16, and of q6_k the weights; what was added and
// subtracted leaves its rounding.
constexpr double tolerance = 0x1p-8;

}  // namespace

TEST_CASE("expert stream: the listed experts' sum, whatever the groups, formats and nodes") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  Random random(5);
  const std::vector<int32_t> list{7, 2, 3, 11, 0, 4, 9, 8, 6};  // not 1, 5, 10
  for (const auto& [gate_up, down, nodes] :
       {std::tuple{Format::q4_k, Format::q6_k, Nodes::one},
        std::tuple{Format::q4_k, Format::q4_k, Nodes::shards},
        std::tuple{Format::int4_64, Format::int4_64, Nodes::replicas}}) {
    const Layer layer(gate_up, down, nodes, random);
    for (const int64_t tokens : {1, 33, 600}) {
      const Step step(gpu, tokens, random);
      const auto expected = step.expected(layer, list);
      for (const auto& [slots, group] : {std::pair{2, 1}, std::pair{4, 4}, std::pair{3, 2}}) {
        INFO(quant::name(gate_up) << ", " << quant::name(down) << " x " << tokens << ", " << slots
                                  << " slots of " << group);
        ExpertStreamShape shape = shape_of(layer, slots, group);
        if (group == 2) shape.pinned_piece = 64 << 10;  // less than a matrix
        ExpertStream stream(gpu.queue(), shape);
        const auto got = run(gpu, stream, layer, step, list);
        CHECK(ktx::test::relative_distance(got, expected) < tolerance);
        CHECK(run(gpu, stream, layer, step, list) == got);
        stream.prefetch(layer.experts(), std::vector<int32_t>{elsewhere, list[0]});
        CHECK(stream.prefetched(layer.experts()).size() == (nodes == Nodes::replicas ? 1u : 2u));
        CHECK(ktx::test::relative_distance(run(gpu, stream, layer, step, list), expected) <
              tolerance);
      }
    }
  }
}

TEST_CASE("expert stream: no experts, no sum to add to, and one that is y itself") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  Random random(6);
  const Layer layer(Format::q4_k, Format::q4_k, Nodes::one, random);
  const Step step(gpu, 40, random);
  ExpertStream stream(gpu.queue(), shape_of(layer, 2, 2));
  CHECK(run(gpu, stream, layer, step, {}) == std::vector<float>(step.added.size()));

  const std::vector<int32_t> list{1, 5, 6};
  const auto experts_of = step.with_tokens(list);
  auto args = step.args;
  const auto y = gpu.poisoned(step.added.size() * sizeof(float));
  args.y = y.as<float>();
  args.add = nullptr;
  stream.run(layer.experts(), experts_of, args);
  const auto alone = gpu.download<float>(y);
  CHECK(ktx::test::relative_distance(alone, step.expected(layer, list)) < tolerance);
  args.add = args.y;
  stream.run(layer.experts(), experts_of, args);
  auto twice = gpu.download<float>(y);
  for (size_t i = 0; i < twice.size(); ++i) twice[i] -= alone[i];
  CHECK(ktx::test::relative_distance(twice, alone) < 0x1p-20);
}

TEST_CASE("expert stream: a prefetched expert is used if the next layer asks for it") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  Random random(7);
  // Their experts differ in size, as in a checkpoint of a mixture of formats.
  const Layer first(Format::q4_k, Format::q6_k, Nodes::shards, random);
  const Layer second(Format::q4_k, Format::q4_k, Nodes::one, random);
  const Step step(gpu, 100, random);
  const std::vector<int32_t> list{3, 4, 8, 0, 10, 11, 5};
  const auto of_first = step.expected(first, list), of_second = step.expected(second, list);
  ExpertStream stream(gpu.queue(), shape_of(first, 3, 2), Timed::yes);

  int64_t bytes = 0;  // copied so far, as it should be
  const auto prefetch = [&](const Layer& layer, const std::vector<int32_t>& guess, size_t taken) {
    stream.prefetch(layer.experts(), guess);
    CHECK(stream.prefetched(layer.experts()).size() == taken);
    bytes += static_cast<int64_t>(taken) * layer.expert_bytes();
  };
  const auto check = [&](const Layer& layer, const std::vector<float>& expected, size_t hits) {
    const auto got = run(gpu, stream, layer, step, list);
    CHECK(ktx::test::relative_distance(got, expected) < tolerance);
    bytes += static_cast<int64_t>(list.size() - hits) * layer.expert_bytes();
    CHECK(stream.times().bytes == bytes);
    CHECK(stream.prefetched(layer.experts()).empty());
  };
  check(first, of_first, 0);
  prefetch(second, {4, 9, 3, 1, 8, 2, 0}, 6);  // as many as the ring holds
  CHECK(stream.prefetched(first.experts()).empty());
  check(second, of_second, 3);
  prefetch(second, {9, 1, 2}, 3);
  check(second, of_second, 0);
  prefetch(second, {3, 4}, 2);
  check(first, of_first, 0);
  check(second, of_second, 0);
  CHECK(stream.times().copying > 0);
  CHECK(stream.times().computing > 0);
}

TEST_CASE("expert stream: layers one behind the other, without a wait") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  ktx::test::Gpu gpu;
  Random random(8);
  const Layer first(Format::q4_k, Format::q6_k, Nodes::one, random);
  const Layer second(Format::q4_k, Format::q4_k, Nodes::shards, random);
  const Step step(gpu, 64, random);
  std::vector<int32_t> list(experts);
  std::iota(list.begin(), list.end(), 0);
  const auto experts_of = step.with_tokens(list);
  ExpertStream stream(gpu.queue(), shape_of(first, 2, 2));
  std::vector<ktx::device::Block> results;
  constexpr size_t layers = 40;
  for (size_t i = 0; i < layers; ++i)
    results.push_back(gpu.poisoned(step.added.size() * sizeof(float)));
  for (size_t i = 0; i < layers; ++i) {
    auto args = step.args;
    args.y = results[i].as<float>();
    args.add = nullptr;
    stream.run((i % 2 == 0 ? first : second).experts(), experts_of, args);
    const std::vector<int32_t> guess{static_cast<int32_t>(i % 2), 6, 2};
    if (i % 3 != 2) stream.prefetch((i % 2 == 0 ? second : first).experts(), guess);
  }
  const auto of_first = step.expected(first, list), of_second = step.expected(second, list);
  for (size_t i = 0; i < layers; ++i)
    CHECK(ktx::test::relative_distance(gpu.download<float>(results[i]),
                                       i % 2 == 0 ? of_first : of_second) < tolerance);
}

TEST_CASE("expert stream: the plan's bytes of the ring") {
  // DeepSeek-V3 in Q4_K_M: gate and up q4_k, down q6_k at most.
  const ExpertStreamShape shape{
      .gate_bytes = ops::packed_bytes(ops::Layout::x16, Format::q4_k, 2048, 7168),
      .down_bytes = ops::packed_bytes(ops::Layout::x16, Format::q6_k, 7168, 2048)};
  const int64_t experts_bytes = 16 * (2 * shape.gate_bytes + shape.down_bytes);
  CHECK(ExpertStream::bytes(shape) - experts_bytes == 16 * 24);  // the table
}

TEST_CASE("expert stream: speed of a quarter of a layer of DeepSeek-V3", "[.bench]") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  constexpr int all = 256, streamed = 64, chosen = 8;
  constexpr int64_t x_size = 7168, h_size = 2048;
  ktx::test::Gpu gpu;
  std::vector<ktx::device::Block> blocks;
  const auto weight = [&](int64_t rows, int64_t cols) {
    const int64_t bytes = ops::packed_bytes(ops::Layout::x16, Format::q4_k, rows, cols);
    blocks.push_back(
        ktx::device::alloc({}, static_cast<size_t>(streamed * bytes), ktx::device::Pinned::yes));
    return LoadedWeight{.format = Format::q4_k,
                        .layout = ops::Layout::x16,
                        .count = streamed,
                        .rows = rows,
                        .cols = cols,
                        .data = blocks.back().data(),
                        .matrix_bytes = bytes};
  };
  const LoadedWeight gate = weight(h_size, x_size), up = weight(h_size, x_size),
                     down = weight(x_size, h_size);
  Random random(9);
  for (const int64_t tokens : {512, 2048, 8192}) {
    std::vector<int32_t> ids;
    std::vector<StreamedExpert> list(streamed);
    for (int64_t t = 0; t < tokens; ++t) {
      const int first = random.below(all);
      for (int i = 0; i < chosen; ++i) ids.push_back((first + i * i * 7) % all);
    }
    for (int e = 0; e < streamed; ++e)
      list[static_cast<size_t>(e)] = {e,
                                      static_cast<int32_t>(std::count(ids.begin(), ids.end(), e))};
    const auto x = gpu.upload(std::vector<uint16_t>(static_cast<size_t>(tokens * x_size)));
    const auto y = gpu.upload(std::vector<float>(static_cast<size_t>(tokens * x_size)));
    const auto on_ids = gpu.upload(ids), weights = gpu.upload(std::vector<float>(ids.size()));
    cuda::MoeArgs args{.x = x.as<uint16_t>(),
                       .x_stride = x_size,
                       .tokens = tokens,
                       .ids = on_ids.as<int32_t>(),
                       .weights = weights.as<float>(),
                       .top_k = chosen,
                       .experts = all,
                       .hidden = x_size,
                       .intermediate = h_size,
                       .y = y.as<float>(),
                       .y_stride = x_size,
                       .add = y.as<float>(),
                       .scratch_pairs = tokens};
    const auto scratch = gpu.upload(
        std::vector<std::byte>(static_cast<size_t>(cuda::moe_scratch_bytes(args, tokens, tokens))));
    args.scratch = scratch.data();
    ExpertStream stream(gpu.queue(),
                        {.gate_bytes = gate.matrix_bytes, .down_bytes = down.matrix_bytes},
                        Timed::yes);
    stream.run({&gate, &up, &down}, list, args);  // loads the kernels
    gpu.queue().synchronize();
    const ExpertStreamTimes before = stream.times();
    const auto begin = std::chrono::steady_clock::now();
    stream.run({&gate, &up, &down}, list, args);
    gpu.queue().synchronize();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    const ExpertStreamTimes after = stream.times();
    const double copying = after.copying - before.copying;
    std::printf("%4d tokens, %d experts: %.1f ms; copying %.1f ms (%.1f GB/s), computing %.1f ms\n",
                static_cast<int>(tokens), streamed, 1e3 * took.count(), 1e3 * copying,
                static_cast<double>(after.bytes - before.bytes) / copying / 1e9,
                1e3 * (after.computing - before.computing));
  }
}
