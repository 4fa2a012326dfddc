// Hugging Face directories: single files, shards with an index, FP8 with its scales.
#include "loader/safetensors.hpp"

#include <cstring>

#include "catch.hpp"
#include "files.hpp"
#include "loader/checkpoint.hpp"
#include "loader/safetensors_header.hpp"

namespace ktx::loader {
namespace {
namespace fs = std::filesystem;

struct Made {
  std::string name, dtype, shape;
  size_t bytes;
};

// A file of tensors one after another.
std::string file_of(const std::vector<Made>& tensors) {
  std::string header = "{", data;
  for (const auto& t : tensors) {
    header += (header.size() > 1 ? ",\"" : "\"") + t.name + "\":{\"dtype\":\"" + t.dtype +
              "\",\"shape\":" + t.shape + ",\"data_offsets\":[" + std::to_string(data.size()) +
              "," + std::to_string(data.size() + t.bytes) + "]}";
    data += std::string(t.bytes, static_cast<char>('A' + data.size() % 26));
  }
  return safetensors_bytes(header + "}", data);
}

std::string open_error(const fs::path& path) {
  const auto error = error_of([&] { open_checkpoint(path); });
  if (!error) return "no error";
  CHECK(error->category() == ErrorCategory::input);
  return fs::path(error->where()).filename().string() + ": " + error->message();
}

constexpr const char* index_name = "model.safetensors.index.json";

// Two shards, with config.json and an index.
void write_sharded(const TempDir& dir) {
  dir.write("config.json", R"({"model_type":"llama"})");
  dir.write("s1.safetensors", file_of({{"a", "F32", "[2]", 8}, {"b", "BF16", "[2,2]", 8}}));
  dir.write("s2.safetensors", file_of({{"c", "F16", "[4]", 8}}));
  dir.write(index_name, R"({"metadata":{"total_size":24},"weight_map":{"a":"s1.safetensors",)"
                        R"("b":"s1.safetensors","c":"s2.safetensors"}})");
}

TEST_CASE("shards with an index") {
  const TempDir dir;
  write_sharded(dir);
  const auto source = open_checkpoint(dir.path());
  CHECK(source->kind() == CheckpointKind::safetensors);
  CHECK(source->path() == dir.path());
  CHECK(source->config()["model_type"] == "llama");
  CHECK(source->generation_config().is_null());
  REQUIRE(source->tensors().size() == 3);
  CHECK(source->tensors()[1].name == "b");
  CHECK(source->find("c")->format == quant::Format::f16);
  CHECK(source->find("c")->where == (dir.path() / "s2.safetensors").string());
}

TEST_CASE("broken shards and indexes") {
  const TempDir dir;
  write_sharded(dir);
  const auto index = [&](const std::string& text) {
    dir.write(index_name, text);
    return open_error(dir.path());
  };
  SECTION("a missing shard matters if something in it is needed") {
    fs::remove(dir.path() / "s1.safetensors");
    const auto source = open_checkpoint(dir.path());
    CHECK(source->tensors().size() == 1);
    CHECK(source->why_missing("a") == "is in s1.safetensors, which is missing");
    CHECK(source->unread() == std::vector<std::string>{"a", "b"});
  }
  SECTION("a tensor that its shard lacks is not there") {
    dir.write(index_name, R"({"weight_map":{"a":"s1.safetensors","z":"s2.safetensors"}})");
    const auto source = open_checkpoint(dir.path());
    CHECK(source->why_missing("z") ==
          "is not in s2.safetensors, where model.safetensors.index.json puts it");
    CHECK(source->unread() == std::vector<std::string>{"b", "c"});  // not in the index
  }
  SECTION("not an index") {
    const std::string expected =
        "model.safetensors.index.json: expected an object with an object 'weight_map'";
    CHECK(index("[]") == expected);
    CHECK(index("{}") == expected);
    CHECK(index(R"({"weight_map":["a"]})") == expected);
    CHECK(index("{") == std::string(index_name) + ":1:2: not valid JSON");
  }
  SECTION("a shard outside of the directory") {
    for (const std::string name :
         {"\"../s1.safetensors\"", "\"/etc/passwd\"", "\"\"", "3", "\"..\""})
      CHECK(index("{\"weight_map\":{\"a\":" + name + "}}") ==
            "model.safetensors.index.json: tensor 'a': expected the name of a shard, found " +
                name);
  }
  SECTION("a shard cut off") {
    fs::resize_file(dir.path() / "s2.safetensors",
                    fs::file_size(dir.path() / "s2.safetensors") - 1);
    CHECK(open_error(dir.path()) ==
          "s2.safetensors: tensor 'c': the file ends inside its data: expected data_offsets up to "
          "7, found [0, 8]");
    CHECK(open_checkpoint(dir.path(), {.header_only = true})->tensors().size() == 3);
  }
  SECTION("a shard without an index entry is not read, and says why") {
    CHECK(index(R"({"weight_map":{"a":"s1.safetensors"}})") == "no error");
    const auto source = open_checkpoint(dir.path());
    CHECK(source->find("b") == nullptr);
    CHECK(source->why_missing("b") ==
          "is in s1.safetensors, but not in " + std::string(index_name));
  }
  SECTION("no config, or one that is no object") {
    dir.write("config.json", "[1]");
    CHECK(open_error(dir.path()) == "config.json: expected a JSON object");
  }
  SECTION("no weights") {
    fs::remove(dir.path() / index_name);
    CHECK(open_error(dir.path()) ==
          dir.path().filename().string() +
              ": expected a Hugging Face directory, found no safetensors files in it");
  }
}

TEST_CASE("shards without an index, by their numbers") {
  const TempDir dir;
  dir.write("config.json", "{}");
  dir.write("model-00001-of-00003.safetensors", file_of({{"a", "F32", "[2]", 8}}));
  dir.write("model-00003-of-00003.safetensors", file_of({{"b", "F32", "[2]", 8}}));
  dir.write("model-00003-of-00003.safetensors.part", "x");
  const auto source = open_checkpoint(dir.path());
  CHECK(source->tensors().size() == 2);
  CHECK(source->why_missing("c") ==
        "is not in the files that are there; missing: model-00002-of-00003.safetensors");
  dir.write("model-00002-of-00003.safetensors", file_of({{"a", "F32", "[2]", 8}}));
  CHECK(open_error(dir.path()).find("model-00002-of-00003.safetensors: tensor 'a': is also in") ==
        0);
}

TEST_CASE("what the configuration says of packed weights is in their stamps, and in no others") {
  const TempDir dir;
  const auto entry = [](const char* dtype, const char* shape, const char* place) {
    return std::string(R"({"dtype":")") + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           place + "}";
  };
  dir.write("model.safetensors",
            safetensors_bytes("{\"w.qweight\":" + entry("I32", "[16,16]", "[0,1024]") +
                                  ",\"w.scales\":" + entry("F16", "[2,16]", "[1024,1088]") +
                                  ",\"w.qzeros\":" + entry("I32", "[2,2]", "[1088,1104]") +
                                  ",\"v\":" + entry("F32", "[2]", "[1104,1112]") + "}",
                              std::string(1112, 'x')));
  const auto stamp = [&](const char* name, const std::string& more) {
    dir.write("config.json",
              R"({"quantization_config":{"quant_method":"gptq","bits":4)" + more + "}}");
    const auto source = open_checkpoint(dir.path());
    return source->stamp(*source->find(name));
  };
  const std::string plain = stamp("w.weight", "");
  CHECK(stamp("w.weight", R"(,"damp_percent":0.1)") == plain);
  CHECK(stamp("w.weight", R"(,"sym":false)") != plain);
  CHECK(stamp("w.weight", R"(,"desc_act":true)") != plain);
  CHECK(stamp("w.weight", R"(,"checkpoint_format":"gptq_v2")") != plain);
  CHECK(stamp("v", "") == stamp("v", R"(,"sym":false)"));
}

TEST_CASE("dtypes that ktx does not read are passed over, and say so when asked for") {
  const TempDir dir;
  dir.write("config.json", "{}");
  dir.write("model.safetensors",
            file_of({{"ids", "I64", "[1]", 8}, {"w", "F32", "[1]", 4}, {"x", "F99", "[1]", 3}}));
  const auto source = open_checkpoint(dir.path());
  CHECK(source->tensors().size() == 1);
  CHECK(source->find("ids") == nullptr);
  CHECK(source->why_missing("ids") == "has dtype I64; ktx reads BF16, F16, F32 and F8_E4M3");
  CHECK(source->why_missing("x") == "has dtype F99; ktx reads BF16, F16, F32 and F8_E4M3");
}

TEST_CASE("a scale tensor whose weight is not FP8 is a tensor of its own") {
  const TempDir dir;
  dir.write("config.json", "{}");
  dir.write("model.safetensors",
            file_of({{"w", "F32", "[1]", 4}, {"w_scale_inv", "F32", "[1]", 4}}));
  CHECK(open_checkpoint(dir.path())->tensors().size() == 2);
}

TEST_CASE("the FP8 fixture: rows equal code and scale, taken from the file by hand") {
  const std::string dir = KTX_TEST_DATA "/arch/deepseek-v3-fp8";
  const auto source = open_checkpoint(dir);
  const SafetensorsFile file(dir + "/model.safetensors");
  int matrices = 0;
  for (const auto& tensor : source->tensors()) {
    CHECK(tensor.name.find("_scale_inv") == std::string::npos);
    if (tensor.format != quant::Format::fp8) continue;
    ++matrices;
    INFO(tensor.name);
    const auto codes = file.bytes(*file.find(tensor.name));
    const auto* scale_entry = file.find(tensor.name + "_scale_inv");
    REQUIRE(scale_entry != nullptr);
    CHECK(source->find(scale_entry->name) == nullptr);
    CHECK(source->why_missing(scale_entry->name) == "is a part of tensor '" + tensor.name + "'");
    const auto scales = file.bytes(*scale_entry);
    const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
    const int64_t row_bytes = quant::row_bytes(tensor.format, cols);
    const auto read = read_rows(*source, tensor, 0, rows);
    const std::byte* got = read.data();
    int64_t wrong = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) {
        const std::byte* block = got + r * row_bytes + c / 128 * 132;
        const std::byte* scale = scales.data() + (r / 128 * ((cols + 127) / 128) + c / 128) * 4;
        wrong += std::memcmp(block, scale, 4) != 0;
        wrong += block[4 + c % 128] != codes[static_cast<size_t>(r * cols + c)];
      }
    CHECK(wrong == 0);
  }
  CHECK(matrices > 20);
}

TEST_CASE("every fixture opens and its tensors fill its file") {
  for (const std::string name : {"deepseek-v2-lite", "deepseek-v3-fp8", "kimi-k2", "llama",
                                 "mixtral", "qwen2-moe", "qwen3-moe"}) {
    INFO(name);
    const fs::path dir = fs::path(KTX_TEST_DATA) / "arch" / name;
    const auto source = open_checkpoint(dir);
    CHECK(source->config().contains("model_type"));
    CHECK(source->generation_config().is_object() == (name != "deepseek-v3-fp8"));
    CHECK(source->tokenizer().is_null());
    const SafetensorsFile file(dir / "model.safetensors");
    uint64_t plain = 0, bytes = 0;
    for (const auto& entry : file.entries())
      if (entry.dtype == "BF16" || entry.dtype == "F32") plain += entry.size;
    for (const auto& tensor : source->tensors())
      if (tensor.format != quant::Format::fp8) bytes += source->tensor_bytes(tensor);
    if (name != "deepseek-v3-fp8") CHECK(bytes == plain);
    const SafetensorsFile reference(dir / "reference.safetensors");
    CHECK(reference.find("0.ids")->dtype == "I32");
    CHECK(reference.find("0.logits")->shape.size() == 2);
  }
}

}  // namespace
}  // namespace ktx::loader
