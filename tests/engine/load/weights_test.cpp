// Loading: what is in memory is what the checkpoint holds, quantized and turned as the plan says.
#include "engine/load/weights.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <set>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "engine/access.hpp"
#include "engine/load/weight_blocks.hpp"
#include "engine/load/weight_reader.hpp"
#include "engine/source.hpp"
#include "ktx/error.hpp"
#include "ktx/plan.hpp"
#include "loader/safetensors_writer.hpp"
#include "support/ktx_isa.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"
#include "support/watched_source.hpp"

using namespace ktx;

namespace {

placement::Plan plan_for(const std::filesystem::path& model, const std::string& rules) {
  const test::TempDir folder;
  const auto file = folder.write("rules.yaml", rules);
  const test::KtxIsa isa("scalar");  // reference kernels keep rows as they are: easy to compare
  return engine::Access::details(make_plan({.model = model, .rules = file, .threads = 2}));
}

std::vector<float> decoded(const engine::LoadedWeight& weight, int64_t matrix) {
  std::vector<float> out(static_cast<size_t>(weight.rows * weight.cols));
  const auto bytes = quant::row_bytes(weight.format, weight.cols);
  for (int64_t r = 0; r < weight.rows; ++r)
    quant::info(weight.format)
        .decode(weight.data + matrix * weight.matrix_bytes + r * bytes,
                out.data() + r * weight.cols, weight.cols);
  return out;
}

// The same matrix straight from the checkpoint, in f32.
std::vector<float> stored(const loader::TensorSource& source, const graph::Weight& weight,
                          int64_t matrix) {
  const engine::WeightReader reader(source, weight);
  const int64_t rows = weight.transposed ? weight.cols : weight.rows;
  const int64_t cols = engine::stored_cols(weight);
  std::vector<float> out(static_cast<size_t>(weight.rows * weight.cols)),
      row(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<std::byte> scratch(reader.scratch_bytes(matrix * rows + r, 1));
    quant::info(weight.source).decode(reader.read(matrix * rows + r, 1, scratch), row.data(), cols);
    for (int64_t c = 0; c < cols; ++c)
      out[static_cast<size_t>(weight.transposed ? c * weight.cols + r : r * cols + c)] =
          row[static_cast<size_t>(c)];
  }
  return out;
}

void compare(const char* model, const std::string& rules, double tolerance) {
  const auto folder = test::data_dir / "arch" / model;
  const auto plan = plan_for(folder, rules);
  const auto source = loader::open_checkpoint(folder);
  hw::WorkerPool pool(2);
  uint64_t last = 0;
  const engine::Weights weights(
      plan, *source, pool,
      {.cache = {}, .progress = [&](const std::string&, uint64_t done, uint64_t total) {
         CHECK(done >= last);
         CHECK(done <= total);
         last = done;
       }});
  CHECK(last == weights.source_bytes());
  int quantized = 0;
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    for (const auto& weight : module.weights) {
      INFO(module.path << " " << weight.role);
      const auto& loaded = weights.get(planned.module, weight.role);
      quantized += loaded.format != weight.source;
      for (int64_t m = 0; m < weight.count; ++m) {
        const double limit = loaded.format == weight.source || weight.is_vector() ? 0 : tolerance;
        CHECK(test::relative_error(decoded(loaded, m), stored(*source, weight, m)) <= limit);
      }
    }
  }
  CHECK(quantized > 0);
}

const std::string keep =
    "ktx: 1\nrules: [{name: all, match: {name: '.*'}, place: {device: cpu}}]\n";

}  // namespace

TEST_CASE("kept formats keep every value, also transposed and in FP8") {
  // Vectors and routers become f32, a transposed FP8 half of kv_b too: exactly.
  compare("deepseek-v3-fp8", keep, 0);
  compare("kimi-k2", keep, 0);
  compare("mixtral", keep, 0);
}

TEST_CASE("quantizing while loading stays within the format's step") {
  // int8/32: half a step of 1/127 of the group's largest weight; for weights of any shape the
  // largest is under sqrt(32) times the group's root mean square, so the relative error is under
  // sqrt(32)/254.
  compare(
      "qwen2-moe",
      "ktx: 1\nrules:\n"
      "  - {name: matrices, match: {class: linear}, place: {device: cpu, format: int8/32}}\n"
      "  - {name: experts, match: {class: moe.experts}, place: {device: cpu, format: int8/32}}\n"
      "  - {name: rest, match: {name: '.*'}, place: {device: cpu}}\n",
      0.0223);
}

TEST_CASE("a module without a weight of that role is a bug, found or not") {
  const auto folder = test::data_dir / "arch/llama";
  const auto plan = plan_for(folder, keep);
  const auto source = loader::open_checkpoint(folder);
  hw::WorkerPool pool(1);
  const engine::Weights weights(plan, *source, pool, {});
  CHECK(weights.find(0, "no such role") == nullptr);
  CHECK(weights.find(-1, "weight") == nullptr);
  CHECK_THROWS_AS(weights.get(0, "no such role"), Error);
}

namespace {

std::set<std::string> entries_of(const test::TempDir& cache) {
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(cache.path()))
    if (file.path().extension() == ".packed") names.insert(file.path().filename().string());
  return names;
}

// What one start with a cache did.
struct Start {
  int64_t read = 0;  // bytes of the checkpoint
  uint64_t mapped = 0, bytes = 0, last_done = 0, last_total = 0;
  std::vector<std::byte> packed;  // all weights, one after the other
};

Start start(const std::filesystem::path& cache, const std::filesystem::path& model,
            const std::string& rules, const std::string& stamp_suffix = {}) {
  const auto plan = plan_for(model, rules);
  test::WatchedSource source(loader::open_checkpoint(model));
  source.stamp_suffix = stamp_suffix;
  hw::WorkerPool pool(2);
  Start s;
  engine::Weights weights(
      plan, source, pool,
      {.cache = cache, .progress = [&](const std::string&, uint64_t done, uint64_t total) {
         s.last_done = done;
         s.last_total = total;
       }});
  weights.finish_cache();
  s.read = source.bytes_read;
  s.mapped = weights.cached_bytes();
  s.bytes = weights.bytes();
  CHECK(weights.source_bytes() == static_cast<uint64_t>(s.read));
  for (const auto& planned : plan.modules)
    for (const auto& weight : planned.weights) {
      const auto& loaded = weights.get(planned.module, weight.role);
      s.packed.insert(s.packed.end(), loaded.data,
                      loaded.data + loaded.count * loaded.matrix_bytes);
    }
  return s;
}

// Where they begin to differ; empty: nowhere. Checks print it, and not all the bytes.
std::string difference(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  if (a.size() != b.size())
    return std::to_string(a.size()) + " and " + std::to_string(b.size()) + " bytes";
  const auto at = std::ranges::mismatch(a, b).in1 - a.begin();
  return at == std::ssize(a) ? "" : "from byte " + std::to_string(at) + " on";
}

std::string experts_in(const std::string& format) {
  return "ktx: 1\nrules:\n"
         "  - {name: experts, match: {class: moe.experts}, place: {device: cpu, format: " +
         format +
         "}}\n"
         "  - {name: rest, match: {name: '.*'}, place: {device: cpu}}\n";
}

}  // namespace

TEST_CASE("a second start maps what the first one packed and reads no weight") {
  const test::TempDir cache;
  const auto model = test::data_dir / "arch/deepseek-v3-fp8";
  const auto none = start({}, model, experts_in("int8"));
  const auto first = start(cache.path(), model, experts_in("int8"));
  CHECK(first.read > 0);
  CHECK(first.mapped == 0);
  CHECK(first.last_done == first.last_total);
  CHECK(first.last_done == static_cast<uint64_t>(first.read));
  CHECK(difference(first.packed, none.packed) == "");
  const auto second = start(cache.path(), model, experts_in("int8"));
  CHECK(second.read == 0);
  CHECK(second.mapped == second.bytes);
  CHECK(difference(second.packed, none.packed) == "");
}

TEST_CASE("a changed rule packs anew what it places, and only that") {
  const test::TempDir cache;
  const auto model = test::data_dir / "arch/qwen2-moe";
  const auto all = start(cache.path(), model, experts_in("int8/32"));
  const auto other = start(cache.path(), model, experts_in("int4/32"));
  CHECK(other.read > 0);
  CHECK(other.read < all.read);
  CHECK(other.mapped > 0);
  CHECK(difference(other.packed, start({}, model, experts_in("int4/32")).packed) == "");
  CHECK(start(cache.path(), model, experts_in("int8/32")).read == 0);
}

TEST_CASE(
    "a changed checkpoint is read anew; the same content under other times is not kept twice") {
  const test::TempDir cache;
  const auto model = test::data_dir / "arch/llama";
  const auto first = start(cache.path(), model, keep);
  const auto entries = entries_of(cache);
  // Touched, or copied: the state differs, the content does not.
  const auto touched = start(cache.path(), model, keep, "touched");
  CHECK(touched.read == first.read);
  CHECK(difference(touched.packed, first.packed) == "");
  CHECK(entries_of(cache) == entries);
  CHECK(start(cache.path(), model, keep, "touched").read == 0);
  // One number changed.
  const test::TempDir copy;
  std::filesystem::copy(model, copy.path());
  {
    std::fstream file(copy.path() / "model.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end);
    file.write("\x12\x3f", 2);
  }
  const auto changed = start(cache.path(), copy.path(), keep);
  CHECK(changed.read == first.read);
  CHECK(difference(changed.packed, first.packed) != "");
  CHECK(difference(changed.packed, start({}, copy.path(), keep).packed) == "");
  CHECK(entries_of(cache).size() == entries.size() + 1);
}

TEST_CASE("a cut off entry is made anew") {
  const test::TempDir cache;
  const auto model = test::data_dir / "arch/llama";
  const auto first = start(cache.path(), model, keep);
  const auto entries = entries_of(cache);
  for (const auto& name : entries) std::filesystem::resize_file(cache.path() / name, 100);
  const auto second = start(cache.path(), model, keep);
  CHECK(second.read == first.read);
  CHECK(difference(second.packed, first.packed) == "");
  CHECK(entries_of(cache) == entries);
  CHECK(start(cache.path(), model, keep).read == 0);
}

namespace {

// A copy of the llama with a file of F32 tensors for each layer; in all of them tensors of one
// shape lie at the same place.
void write_layers_apart(const std::filesystem::path& folder) {
  const auto model = test::data_dir / "arch/llama";
  std::filesystem::copy(model / "config.json", folder / "config.json");
  const auto source = loader::open_checkpoint(model);
  std::map<std::string, std::vector<loader::NamedArray>> files;
  std::deque<std::vector<float>> numbers;
  Json index;
  for (const auto& meta : source->tensors()) {
    const auto layer = meta.name.find("layers.");
    const std::string file = layer == std::string::npos ? "rest" : meta.name.substr(layer + 7, 1);
    const int64_t rows = loader::matrix_rows(meta), cols = loader::matrix_cols(meta);
    auto& values = numbers.emplace_back(static_cast<size_t>(rows * cols));
    std::vector<std::byte> scratch(source->scratch_bytes(meta, 0, rows));
    quant::info(meta.format)
        .decode(source->rows(meta, 0, rows, scratch), values.data(), rows * cols);
    files[file].push_back({meta.name, meta.shape, std::span<const float>(values)});
    index["weight_map"][meta.name] = file + ".safetensors";
  }
  base::write_file(folder / "model.safetensors.index.json", base::dump_json(index));
  for (auto& [file, arrays] : files) {
    std::ranges::sort(arrays, {}, &loader::NamedArray::name);
    loader::write_safetensors(folder / (file + ".safetensors"), arrays);
  }
}

bool have_equal_times(const std::filesystem::path& a, const std::filesystem::path& b) {
  struct stat x {
  }, y{};
  REQUIRE((::stat(a.c_str(), &x) == 0 && ::stat(b.c_str(), &y) == 0));
  const auto same = [](const timespec& s, const timespec& t) {
    return s.tv_sec == t.tv_sec && s.tv_nsec == t.tv_nsec;
  };
  return x.st_size == y.st_size && same(x.st_mtim, y.st_mtim) && same(x.st_ctim, y.st_ctim);
}

// Writes the two anew until both were within one tick of the kernel's clock.
void give_equal_times(const std::filesystem::path& a, const std::filesystem::path& b) {
  const std::string bytes[] = {base::read_text(a), base::read_text(b)};
  const auto now = std::filesystem::last_write_time(a);
  int tries = 0;
  do {
    REQUIRE(++tries < 1000);
    for (const auto& file : {a, b}) {
      std::filesystem::remove(file);
      std::ofstream(file, std::ios::binary) << bytes[file == b];
    }
    for (const auto& file : {a, b}) std::filesystem::last_write_time(file, now);
  } while (!have_equal_times(a, b));
}

}  // namespace

TEST_CASE("files of equal size and times are not taken for each other") {
  const test::TempDir cache, model;
  write_layers_apart(model.path());
  give_equal_times(model.path() / "0.safetensors", model.path() / "1.safetensors");
  const auto none = start({}, model.path(), keep);
  start(cache.path(), model.path(), keep);
  const auto second = start(cache.path(), model.path(), keep);
  CHECK(second.read == 0);
  CHECK(difference(second.packed, none.packed) == "");
}
