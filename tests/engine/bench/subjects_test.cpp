// What kernels are measured on: how many experts are active, and what they weigh.
#include "engine/bench/subjects.hpp"

#include "catch.hpp"

using namespace ktx;
using namespace ktx::engine;

namespace {

BenchSetup setup(quant::Format format, bool moe) {
  const auto& kernel = ops::best_matmul_kernel(hw::usable_isa(), format, 512, 256);
  return {.format = format,
          .hidden = 256,
          .intermediate = 512,
          .gate = &kernel,
          .down = moe ? &kernel : nullptr};
}

}  // namespace

TEST_CASE("8 experts are active for few tokens, 16 for many, never more than there are") {
  hw::WorkerPool pool(2);
  for (const auto& [count, few, many] :
       {std::tuple{40, 8, 16}, std::tuple{11, 8, 11}, std::tuple{3, 3, 3}, std::tuple{1, 1, 1}}) {
    const auto subject = make_moe_subject(setup(quant::Format::q4_k, true), count, pool);
    for (const int64_t tokens : {1, 15, 16, 33}) {
      subject->set_tokens(tokens);
      CHECK(subject->active() == (tokens < 16 ? few : many));
      for (int i = 0; i < 7; ++i) subject->call();  // beyond the last expert and round again
    }
  }
}

TEST_CASE("with many tokens every thread has an expert") {
  hw::WorkerPool pool(20);
  const auto subject = make_moe_subject(setup(quant::Format::q4_k, true), 40, pool);
  subject->set_tokens(1);
  CHECK(subject->active() == 8);
  subject->set_tokens(64);
  CHECK(subject->active() == 20);
}

TEST_CASE("a layer takes a router's choice of all its experts") {
  hw::WorkerPool pool(2);
  const auto layer = make_layer_subject(setup(quant::Format::q4_k, true), 40, pool);
  layer->set_tokens(1);
  layer->call();
  CHECK(layer->active() == 8);
  CHECK(layer->products() == 8);
  layer->set_tokens(200);
  layer->call();
  CHECK(layer->active() == 40);
  CHECK(layer->products() == 200 * 8);
  const auto few = make_layer_subject(setup(quant::Format::q4_k, true), 3, pool);
  few->set_tokens(5);
  few->call();
  CHECK(few->products() == 5 * 3);
}

TEST_CASE("an expert has three matrices, a linear layer one") {
  hw::WorkerPool pool(2);
  const auto moe = setup(quant::Format::q4_k, true), linear = setup(quant::Format::q4_k, false);
  const int64_t matrix = 256 * 512 * 9 / 16;  // 4.5 bits
  CHECK(bench_bytes(moe) == 3 * matrix);
  CHECK(bench_bytes(linear) == matrix);
  const auto one = make_linear_subject(linear, 3, pool);
  one->set_tokens(5);
  for (int i = 0; i < 4; ++i) one->call();
  CHECK(one->active() == 1);
  CHECK(one->weights() == 256.0 * 512);
  CHECK(one->bytes() == matrix);
  const auto experts = make_moe_subject(moe, 2, pool);
  CHECK(experts->weights() == 3 * 256.0 * 512);
  CHECK(experts->bytes() == 3 * matrix);
}

TEST_CASE("every format can be measured on every kernel that takes it") {
  hw::WorkerPool pool(2);
  for (const auto& kernel : ops::matmul_kernels()) {
    if (kernel.isa > hw::usable_isa()) continue;
    for (const auto& format : quant::formats()) {
      BenchSetup s{.format = format.format, .hidden = 256, .intermediate = 256};
      s.gate = s.down = &kernel;
      const auto subject = make_moe_subject(s, 4, pool);
      subject->set_tokens(2);
      subject->call();
      CHECK(subject->active() == 4);
    }
  }
}
