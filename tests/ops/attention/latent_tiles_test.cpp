// Attention to shared rows of the cache on tiles, against the formula on what the cache holds.
#include "ops/attention/latent_tiles.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/paged_cache.hpp"
#include "ops/attention/tiled.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using namespace ktx::test;
using graph::KvFormat;

namespace {

struct Case {
  int64_t rows, per_token, past;
  int64_t key_dim, value_dim;
};

/// A sequence whose tokens are in the cache, and queries of its last ones.
struct Input {
  Input(const Case& of, KvFormat format, const ops::AttentionKernel& kernel)
      : c(of),
        tokens(c.past + (c.rows + c.per_token - 1) / c.per_token),
        pages(format, {.scaled = c.value_dim, .group = 128, .exact = c.key_dim - c.value_dim},
              graph::pages_of(tokens)),
        sequence{.rows = tokens - c.past,
                 .past = c.past,
                 .pages = pages.order.data(),
                 .kernel = &kernel},
        q(random_floats(c.rows * c.key_dim, 7, 2)) {
    const auto x = random_floats(tokens * c.key_dim, 8);
    for (int64_t t = 0; t < tokens; ++t) {
      std::byte* row = pages.cache.row_of(sequence, t);
      const float* from = x.data() + t * c.key_dim;
      ops::write_numbers({.cache = &pages.cache, .row = row, .numbers = c.value_dim, .from = from});
      ops::write_numbers({.cache = &pages.cache,
                          .row = row,
                          .number = c.value_dim,
                          .numbers = c.key_dim - c.value_dim,
                          .from = from + c.value_dim});
    }
  }

  /// Numbers of a token as the cache holds them.
  std::vector<float> row(int64_t position) const {
    std::vector<float> scratch(size_t(c.key_dim));
    const auto rows = ops::read_rows({.cache = &pages.cache,
                                      .functions = &ops::f32::ref_functions,
                                      .page = pages.order[size_t(position / graph::page_tokens)],
                                      .token = position % graph::page_tokens,
                                      .tokens = 1,
                                      .numbers = c.key_dim,
                                      .scratch = scratch.data()});
    return {rows.data, rows.data + c.key_dim};
  }

  Case c;
  int64_t tokens;
  PagedCache pages;
  ops::SequenceRows sequence;
  std::vector<float> q;
};

/// Attention of all rows, the keys in ranges of `range` keys that are merged.
std::vector<float> run(const Input& in, float scale, int64_t range) {
  const Case& c = in.c;
  const ops::LatentShape shape{.key_dim = c.key_dim, .value_dim = c.value_dim};
  const ops::AttentionKernel& kernel = *in.sequence.kernel;
  const int64_t panels = ops::squares_of(c.rows) * ops::tile_queries;
  const int64_t parts = (in.tokens + range - 1) / range;

  ops::Arena measure;
  ops::LatentBuffers(measure, shape);
  GuardedScratch scratch(measure.used());
  ops::Arena arena(scratch.data());
  const ops::LatentBuffers buffers(arena, shape);
  std::vector<std::byte> q(size_t(c.rows * shape.query_numbers() * 2));
  for (int64_t r = 0; r < c.rows; ++r)
    kernel.tiles->round({.x = in.q.data() + r * c.key_dim,
                         .count = c.key_dim,
                         .scale = scale * ops::log2_e,
                         .out = q.data() + r * shape.query_numbers() * 2});

  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> max(size_t(parts * panels), nan), sum(max);
  std::vector<float> values(size_t(parts * panels * shape.sum_numbers()), nan);
  for (int64_t part = 0; part < parts; ++part)
    ops::attend_latents(
        {.cache = &in.pages.cache,
         .sequence = &in.sequence,
         .shape = shape,
         .buffers = buffers,
         .q = q.data(),
         .rows = c.rows,
         .rows_per_token = c.per_token,
         .past = c.past,
         .keys = {part * range, std::min(in.tokens, (part + 1) * range)},
         .state = {max.data() + part * panels, sum.data() + part * panels,
                   values.data() + part * panels * shape.sum_numbers(), shape.sum_numbers()}});
  REQUIRE(scratch.intact());
  std::vector<float> out(size_t(c.rows * c.value_dim));
  for (int64_t r = 0; r < c.rows; ++r)
    ops::merge({.functions = kernel.functions,
                .state = {max.data(), sum.data(), values.data(), shape.sum_numbers()},
                .row = r,
                .parts = parts,
                .part_stride = panels,
                .value_dim = c.value_dim,
                .out = out.data() + r * c.value_dim});
  return out;
}

std::vector<float> formula(const Input& in, double scale) {
  const Case& c = in.c;
  std::vector<std::vector<float>> rows;
  for (int64_t s = 0; s < in.tokens; ++s) rows.push_back(in.row(s));
  std::vector<float> out;
  for (int64_t r = 0; r < c.rows; ++r) {
    std::vector<double> scores, values(size_t(c.value_dim));
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t s = 0; s <= c.past + r / c.per_token; ++s) {
      double score = 0;
      for (int64_t i = 0; i < c.key_dim; ++i)
        score += scale * in.q[size_t(r * c.key_dim + i)] * rows[size_t(s)][size_t(i)];
      scores.push_back(score);
      max = std::max(max, score);
    }
    for (size_t s = 0; s < scores.size(); ++s) {
      const double weight = std::exp(scores[s] - max);
      sum += weight;
      for (size_t i = 0; i < values.size(); ++i) values[i] += weight * rows[s][i];
    }
    for (const double x : values) out.push_back(float(x / sum));
  }
  return out;
}

}  // namespace

TEST_CASE("attention to latents: every cache, at the borders of pages and tiles of keys") {
  for (const auto* kernel : usable_tile_kernels())
    for (const KvFormat format : cache_formats)
      for (const int64_t past : {0, 62, 63, 64, 255, 256, 999}) {
        INFO(kernel->name << ", " << graph::info(format).name << ", past " << past);
        const Input in({40, 40, past, 160, 128}, format, *kernel);
        const auto expected = formula(in, 0.08);
        REQUIRE(relative_distance(run(in, 0.08f, 4096), expected) < bound_of(*kernel));
        REQUIRE(relative_distance(run(in, 0.08f, 64), expected) < bound_of(*kernel));
      }
}

TEST_CASE("attention to latents: several tokens of few heads, and widths that fill no square") {
  for (const auto* kernel : usable_tile_kernels())
    for (const KvFormat format : cache_formats)
      for (const Case& c : {Case{64, 5, 250, 156, 150}, Case{7, 1, 60, 20, 16},
                            Case{33, 4, 0, 40, 33}, Case{50, 3, 127, 576, 512}}) {
        INFO(kernel->name << ", " << graph::info(format).name << ", past " << c.past);
        const Input in(c, format, *kernel);
        REQUIRE(relative_distance(run(in, 0.1f, 128), formula(in, 0.1)) < bound_of(*kernel));
      }
}

TEST_CASE("attention to latents: scores far apart neither overflow nor lose the largest") {
  for (const auto* kernel : usable_tile_kernels()) {
    Input in({32, 32, 700, 64, 32}, KvFormat::bf16, *kernel);
    // Every query is a key of its own, far above the others.
    for (int64_t r = 0; r < 32; ++r) {
      const auto key = in.row(r * 21 + 1);
      std::copy(key.begin(), key.end(), in.q.begin() + r * 64);
    }
    const auto out = run(in, 50, 4096);
    for (int64_t r = 0; r < 32; ++r)
      for (int64_t i = 0; i < 32; ++i)
        REQUIRE(out[size_t(r * 32 + i)] == in.row(r * 21 + 1)[size_t(i)]);
  }
}

TEST_CASE("attention to latents: what is not a number stays in its row, and unseen keys out") {
  for (const auto* kernel : usable_tile_kernels()) {
    Input in({3, 1, 5, 32, 32}, KvFormat::bf16, *kernel);
    in.q[32] = std::nanf("");  // of row 1
    // The rest of the page was never written.
    std::fill_n(in.pages.cache.row_of(in.sequence, 0) + in.tokens * in.pages.cache.row_bytes,
                (graph::page_tokens - in.tokens) * in.pages.cache.row_bytes, std::byte{0xff});
    const auto out = run(in, 1, 4096);
    for (size_t i = 0; i < 32; ++i) {
      CHECK(std::isfinite(out[i]));
      CHECK(std::isnan(out[32 + i]));
      CHECK(std::isfinite(out[64 + i]));
    }
  }
}
