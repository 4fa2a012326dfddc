// What a GPU is told of a batch, in the CPU's memory here: a queue of the CPU copies it.
#include "engine/run/step_inputs.hpp"

#include <vector>

#include "catch.hpp"
#include "core/hw/worker_pool.hpp"

using namespace ktx;
using engine::StepInputs;

namespace {

using Numbers = std::vector<int32_t>;

Numbers first(const int32_t* data, size_t count) {
  return {data, data + count};
}

struct Sketch {
  hw::WorkerPool pool{1};
  std::unique_ptr<device::Queue> queue = device::make_queue({}, &pool);
  StepInputs inputs{{.rows = 6, .sequences = 3, .pages = 2, .default_experts = {8, 4}}, *queue};

  void bring(const engine::Batch& batch) {
    inputs.stage(batch);
    inputs.upload();
    inputs.mark_uploaded();
  }
};

}  // namespace

TEST_CASE("a batch's arrays arrive, and what is beyond it is unused") {
  Sketch s;
  const Numbers pages_a{7, 3}, pages_b{5, 1};
  engine::Batch batch{.ids = {11, 12, 13, 14}};
  batch.sequences = {
      {.first_row = 0, .rows = 3, .past = 63, .pages = pages_a.data()},
      {.first_row = 3, .rows = 1, .past = 10, .pages = pages_b.data(), .experts_per_token = 6}};
  s.bring(batch);
  CHECK(first(s.inputs.ids(), 6) == Numbers{11, 12, 13, 14, -1, -1});
  CHECK(first(s.inputs.first_row(), 3) == Numbers{0, 3, 0});
  CHECK(first(s.inputs.row_count(), 3) == Numbers{3, 1, 0});
  CHECK(first(s.inputs.past(), 3) == Numbers{63, 10, 0});
  CHECK(first(s.inputs.pages(), 3) == Numbers{7, 3, 5});  // [sequences, 2]: b needs one page
  // A request's own number of experts stands above every layer's default.
  CHECK(first(s.inputs.experts_per_token(8), 6) == Numbers{8, 8, 8, 6, 0, 0});
  CHECK(first(s.inputs.experts_per_token(4), 6) == Numbers{4, 4, 4, 6, 0, 0});
}

TEST_CASE("a smaller batch leaves nothing of the one before") {
  Sketch s;
  const Numbers pages{9, 2};
  engine::Batch batch{.ids = Numbers(6, 1)};
  for (int64_t i = 0; i < 3; ++i)
    batch.sequences.push_back({.first_row = 2 * i, .rows = 2, .past = 5, .pages = pages.data()});
  s.bring(batch);
  CHECK(first(s.inputs.row_count(), 3) == Numbers{2, 2, 2});
  batch.ids = {2};
  batch.sequences = {{.first_row = 0, .rows = 1, .past = 6, .pages = pages.data()}};
  s.bring(batch);
  CHECK(first(s.inputs.ids(), 6) == Numbers{2, -1, -1, -1, -1, -1});
  CHECK(first(s.inputs.row_count(), 3) == Numbers{1, 0, 0});
  CHECK(first(s.inputs.past(), 3) == Numbers{6, 0, 0});
  CHECK(first(s.inputs.experts_per_token(8), 6) == Numbers{8, 0, 0, 0, 0, 0});
}

TEST_CASE("what is staged arrives with the upload, not before") {
  Sketch s;
  s.bring({.ids = {1}, .sequences = {}, .logit_rows = {}});
  s.inputs.stage({.ids = {2}, .sequences = {}, .logit_rows = {}});
  CHECK(first(s.inputs.ids(), 1) == Numbers{1});
  s.inputs.upload();
  CHECK(first(s.inputs.ids(), 1) == Numbers{2});
}
