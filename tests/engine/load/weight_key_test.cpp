// Keys change with whatever changes the packed bytes.
#include "engine/load/weight_key.hpp"

#include <set>

#include "catch.hpp"
#include "support/reference.hpp"

using namespace ktx;
using quant::Format;

namespace {

base::Digest content(const engine::LoadJob& job, const base::Digest& digest) {
  const auto* jobs = &job;
  return engine::content_key({&jobs, 1}, {&digest, 1});
}

}  // namespace

TEST_CASE("content keys: shape, formats, layout, content") {
  const graph::Weight weight{.source = Format::bf16, .count = 2, .rows = 32, .cols = 256};
  auto other_shape = weight, other_source = weight, transposed = weight;
  other_shape.count = 1;
  other_source.source = Format::f32;
  transposed.transposed = true;
  std::set<std::string> keys;
  const auto add = [&](const graph::Weight& w, Format format, ops::Layout layout,
                       const char* bytes) {
    const engine::LoadJob job{.weight = &w, .format = format, .layout = layout, .destinations = {}};
    keys.insert(content(job, base::digest(bytes)).hex());
  };
  for (int twice = 0; twice < 2; ++twice) {
    add(weight, Format::int8, ops::Layout::x16, "1");
    add(weight, Format::int8, ops::Layout::x16, "2");
    add(weight, Format::int8, ops::Layout::rows, "1");
    add(weight, Format::int4_32, ops::Layout::x16, "1");
    add(other_shape, Format::int8, ops::Layout::x16, "1");
    add(other_source, Format::int8, ops::Layout::x16, "1");
    add(transposed, Format::int8, ops::Layout::x16, "1");
  }
  CHECK(keys.size() == 7);
}

TEST_CASE("the fingerprint tells apart what layouts and codecs make of the same numbers") {
  const auto fingerprint = [](Format source, Format format, ops::Layout layout) {
    const graph::Weight weight{.source = source, .rows = 32, .cols = 256};
    const auto text = engine::packing_text(
        {.weight = &weight, .format = format, .layout = layout, .destinations = {}});
    return text.substr(text.rfind(' '));
  };
  std::set<std::string> made_from_f32;
  size_t encodable = 0;
  for (const auto& format : quant::formats()) {
    INFO(format.name);
    const auto& kernel = ops::best_matmul_kernel(hw::Isa::avx2, format.format, 32, 256);
    if (kernel.layout(format.format) == ops::Layout::x16)
      CHECK(fingerprint(format.format, format.format, ops::Layout::rows) !=
            fingerprint(format.format, format.format, ops::Layout::x16));
    if (format.encode == nullptr) continue;
    ++encodable;
    made_from_f32.insert(fingerprint(Format::f32, format.format, ops::Layout::rows));
  }
  CHECK(encodable > 8);
  CHECK(made_from_f32.size() == encodable);
}

TEST_CASE("state keys: which rows of which tensor in which state of its file") {
  const auto source = loader::open_checkpoint(test::data_dir / "arch/llama");
  const auto key = [&](const graph::Weight& weight) {
    const engine::LoadJob job{
        .weight = &weight, .format = Format::int8, .layout = ops::Layout::rows, .destinations = {}};
    const auto* jobs = &job;
    return engine::state_key({&jobs, 1}, *source);
  };
  const std::string q = "model.layers.0.self_attn.q_proj.weight";
  graph::Weight weight{.source = Format::bf16, .rows = 32, .cols = 128, .pieces = {{q, 0, 32}}};
  const auto first = key(weight);
  CHECK(first == key(weight));
  weight.pieces[0].first_row = 16;
  CHECK_FALSE(first == key(weight));
}
