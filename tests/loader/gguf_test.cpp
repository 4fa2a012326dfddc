// Split files, and a real file cut off and damaged at many places.
#include "loader/gguf.hpp"

#include <algorithm>
#include <fstream>

#include "catch.hpp"
#include "loader/checkpoint.hpp"
#include "loader/gguf_header.hpp"
#include "raw_gguf.hpp"

namespace ktx::loader {
namespace {
namespace fs = std::filesystem;

constexpr const char* shipped = KTX_SOURCE_DIR "/examples/models/tiny-v3-Q4_K_M.gguf";

struct Part {
  uint16_t number, count;
  std::string tensor;  // one f32 [8] tensor of that name
};

std::string part_bytes(const Part& part, int32_t all_tensors) {
  RawGguf w;
  if (part.number == 0) w.key("general.name", gguf_text, gguf_string("split model"));
  w.key("split.no", gguf_u16, raw(part.number)).key("split.count", gguf_u16, raw(part.count));
  w.key("split.tensors.count", gguf_i32, raw(all_tensors));
  w.tensor(part.tensor, {8}, 0, std::string(32, static_cast<char>('a' + part.number)));
  return w.bytes();
}

// A split into three files; returns the first.
fs::path write_split(const TempDir& dir, int32_t all_tensors = 3) {
  for (const Part& part : {Part{0, 3, "x"}, Part{1, 3, "y"}, Part{2, 3, "z"}})
    dir.write("m-0000" + std::to_string(part.number + 1) + "-of-00003.gguf",
              part_bytes(part, all_tensors));
  return dir.path() / "m-00001-of-00003.gguf";
}

TEST_CASE("a split model is one checkpoint") {
  const TempDir dir;
  const auto source = open_checkpoint(write_split(dir));
  CHECK(source->kind() == CheckpointKind::gguf);
  CHECK(base::dump_json(source->config()) == R"({"general.name":"split model"})");
  CHECK(source->tokenizer().is_null());
  REQUIRE(source->tensors().size() == 3);
  CHECK(source->tensors()[2].name == "z");
  CHECK(source->tensors()[2].where == (dir.path() / "m-00003-of-00003.gguf").string());
  CHECK(std::memcmp(read_rows(*source, *source->find("y"), 0, 1).data(), "bbbbbbbb", 8) == 0);
}

TEST_CASE("broken splits") {
  const TempDir dir;
  const fs::path first = write_split(dir);
  const fs::path second = dir.path() / "m-00002-of-00003.gguf";
  const auto error = [&](const fs::path& file) {
    const auto thrown = error_of([&] { open_checkpoint(file); });
    return thrown ? thrown->where() + ": " + thrown->message() : "no error";
  };
  SECTION("a later part") {
    const auto thrown = error_of([&] { open_checkpoint(second); });
    REQUIRE(thrown);
    CHECK(thrown->message() == "file 2 of a split into 3: expected the first one");
    CHECK(thrown->notes() == std::vector<std::string>{"the first one is 'm-00001-of-00003.gguf'"});
  }
  SECTION("renamed") {
    fs::rename(first, dir.path() / "model.gguf");
    CHECK(error(dir.path() / "model.gguf") ==
          (dir.path() / "model.gguf").string() +
              ": file 1 of a split into 3: expected its name to end in '-00001-of-00003.gguf'");
  }
  SECTION("a part is missing") {
    fs::remove(second);
    const auto source = open_checkpoint(first);  // it matters if 'y' is needed
    CHECK(source->tensors().size() == 2);
    CHECK(source->why_missing("y") ==
          "is not in the files that are there; missing: m-00002-of-00003.gguf");
  }
  SECTION("a part of another split") {
    dir.write("m-00002-of-00003.gguf", part_bytes({1, 4, "y"}, 3));
    CHECK(error(first) == second.string() + ": expected split.no 1 of split.count 3, found 1 of 4");
  }
  SECTION("a part twice") {
    dir.write("m-00002-of-00003.gguf", part_bytes({2, 3, "y"}, 3));
    CHECK(error(first) == second.string() + ": expected split.no 1 of split.count 3, found 2 of 3");
  }
  SECTION("a tensor in two parts") {
    dir.write("m-00002-of-00003.gguf", part_bytes({1, 3, "x"}, 3));
    CHECK(error(first) == second.string() + ": tensor 'x': is also in " + first.string());
  }
  SECTION("too few tensors") {
    write_split(dir, 4);
    CHECK(error(first) == first.string() +
                              ": expected 4 tensors in the files of the split "
                              "(split.tensors.count), found 3");
  }
  SECTION("a part cut off") {
    fs::resize_file(second, fs::file_size(second) - 1);
    CHECK(error(first).find(second.string() +
                            ": tensor 'y': the file ends inside its data: expected bytes ") == 0);
  }
  SECTION("more parts than names can count") {
    RawGguf w;
    w.key("split.count", gguf_u64, raw<uint64_t>(1ull << 60));
    CHECK(error(dir.write("n.gguf", w.bytes())) ==
          (dir.path() / "n.gguf").string() +
              ": metadata 'split.count': expected at most 99999 files, found 1152921504606846976");
  }
  SECTION("a count that is none") {
    RawGguf w;
    w.key("split.count", gguf_i32, raw<int32_t>(-1));
    CHECK(error(dir.write("n.gguf", w.bytes())) ==
          (dir.path() / "n.gguf").string() +
              ": metadata 'split.count': expected a count, found -1");
  }
}

TEST_CASE("the shipped model's table") {
  const auto source = open_checkpoint(shipped);
  CHECK(source->tensors().size() == 70);
  CHECK(source->config()["general.architecture"] == "deepseek2");
  CHECK(source->config()["tokenizer.ggml.tokens"].size() == 4096);
  const auto* experts = source->find("blk.3.ffn_down_exps.weight");
  REQUIRE(experts != nullptr);
  CHECK(experts->shape == std::vector<int64_t>{32, 256, 256});
  CHECK(experts->format == quant::Format::q6_k);
  CHECK(matrix_rows(*experts) == 32 * 256);
  CHECK(source->tensor_bytes(*experts) == 32u * 256 * 210);
  CHECK(source->find("blk.9.attn_norm.weight") == nullptr);
  CHECK(source->why_missing("blk.9.attn_norm.weight") == "is not in the checkpoint");
}

// Opens and reads the first and last row of every tensor.
void read_ends(const fs::path& file) {
  const auto source = open_checkpoint(file);
  unsigned sum = 0;
  std::vector<std::byte> scratch(1 << 20);
  for (const auto& tensor : source->tensors()) {
    if (source->scratch_bytes(tensor, 0, 1) > scratch.size()) continue;
    for (const int64_t row : {int64_t{0}, matrix_rows(tensor) - 1}) {
      const std::byte* at = source->rows(tensor, row, 1, scratch);
      sum += static_cast<unsigned>(at[0]) +
             static_cast<unsigned>(at[quant::row_bytes(tensor.format, matrix_cols(tensor)) - 1]);
    }
  }
  CHECK(sum != 0);
}

TEST_CASE("cut off at 200 places: one input error that names the file and the tensor") {
  const TempDir dir;
  const fs::path file = dir.path() / "cut.gguf";
  fs::copy_file(shipped, file);
  fs::permissions(file, fs::perms::owner_all);
  std::vector<GgufTensor> tensors = read_gguf_header(base::FileReader(file), false).tensors;
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  Random random(1);
  std::vector<uint64_t> places;
  for (int i = 0; i < 100; ++i) places.push_back(random.below(fs::file_size(file)));
  for (int i = 0; i < 100; ++i) places.push_back(random.below(tensors[0].offset));
  std::sort(places.rbegin(), places.rend());
  for (const uint64_t size : places) {
    INFO(size);
    fs::resize_file(file, size);
    const auto error = error_of([&] { open_checkpoint(file); });
    REQUIRE(error);
    CHECK(error->category() == ErrorCategory::input);
    CHECK(error->where() == file.string());
    const auto cut = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) {
      return size >= tensors[0].offset && size < t.offset + t.size;
    });
    if (cut != tensors.end()) {
      CHECK(error->message() ==
            "tensor '" + cut->name + "': the file ends inside its data: expected bytes " +
                std::to_string(cut->offset) + " to " + std::to_string(cut->offset + cut->size) +
                ", found a file of " + std::to_string(size) + " bytes");
    } else {
      CHECK(error->message().find("the file ends inside it") != std::string::npos);
    }
  }
}

TEST_CASE("2000 flipped bytes in the header: opens, or one input error") {
  const TempDir dir;
  const fs::path file = dir.path() / "flipped.gguf";
  fs::copy_file(shipped, file);
  fs::permissions(file, fs::perms::owner_all);
  const uint64_t header = read_gguf_header(base::FileReader(file), false).tensors[0].offset;
  const std::string bytes = read_bytes(file).substr(0, header);
  std::fstream edit(file, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](uint64_t at, char value) {
    edit.seekp(static_cast<std::streamoff>(at));
    edit.put(value).flush();
  };
  Random random(2);
  int opened = 0, refused = 0;
  for (int i = 0; i < 2000; ++i) {
    // A third each: the first keys, the tensor table, anywhere.
    const uint64_t at = i % 3 == 0   ? random.below(2048)
                        : i % 3 == 1 ? header - 1 - random.below(5000)
                                     : random.below(header);
    put(at, static_cast<char>(bytes[at] ^ static_cast<char>(1 + random.below(255))));
    const auto error = error_of([&] { read_ends(file); });
    put(at, bytes[at]);
    ++(error ? refused : opened);
    if (!error) continue;
    INFO(at << ": " << error->what());
    CHECK(error->category() == ErrorCategory::input);
    CHECK(error->where().find(file.string()) == 0);
    CHECK_FALSE(error->message().empty());
  }
  CHECK(opened > 100);   // bytes of names and values
  CHECK(refused > 500);  // lengths, types, offsets
  read_ends(file);
}

}  // namespace
}  // namespace ktx::loader
