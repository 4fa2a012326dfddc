// Metadata and tensor tables written and read back.
#include "loader/gguf_writer.hpp"

#include "catch.hpp"
#include "files.hpp"
#include "loader/gguf_header.hpp"

namespace ktx::loader {
namespace {

using quant::Format;

/// The file of a layout with no data in it.
GgufHeader read_back(const FileLayout& layout) {
  const TempDir dir;
  std::string bytes = layout.header;
  bytes.resize(layout.size);
  return read_gguf_header(base::FileReader(dir.write("m.gguf", bytes)), false);
}

TEST_CASE("metadata come back with their types") {
  const Json metadata = {{"general.architecture", "llama"},
                         {"count", 7u},
                         {"large", uint64_t{1} << 40},
                         {"negative", -3},
                         {"real", 0.5},
                         {"yes", true},
                         {"texts", {"a", "", "\u00e4"}},
                         {"numbers", {1, 2, -3}},
                         {"reals", {1.5, 2.5}},
                         {"none", Json::array()}};
  const GgufHeader back = read_back(gguf_layout(metadata, {}));
  CHECK(back.metadata == metadata);
  CHECK(back.tensors.empty());
  CHECK(back.metadata.at("real").is_number_float());
  CHECK(back.metadata.at("count").is_number_unsigned());
}

TEST_CASE("tensors lie where the layout says") {
  const std::vector<graph::TensorMeta> tensors{
      {.name = "a", .format = Format::f32, .shape = {3}},  // 12 bytes: padded to 32
      {.name = "b", .format = Format::q4_k, .shape = {2, 3, 512}},
      {.name = "c", .format = Format::q8_0, .shape = {5, 32}}};
  const FileLayout layout = gguf_layout(Json::object(), tensors);
  const GgufHeader back = read_back(layout);
  REQUIRE(back.tensors.size() == 3);
  const uint64_t sizes[] = {12, 2 * 3 * 2 * 144, 5 * 34};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(back.tensors[i].name == tensors[i].name);
    CHECK(back.tensors[i].format == tensors[i].format);
    CHECK(back.tensors[i].shape == tensors[i].shape);
    CHECK(back.tensors[i].offset == layout.offsets[i]);
    CHECK(back.tensors[i].size == sizes[i]);
  }
  CHECK(layout.offsets[0] == layout.header.size());
  CHECK(layout.size == layout.offsets[2] + 192);  // 170 bytes, padded
}

TEST_CASE("what GGUF can't hold is a bug") {
  const auto write = [](const std::vector<graph::TensorMeta>& tensors) {
    return message_of([&] { (void)gguf_layout(Json::object(), tensors); });
  };
  CHECK(write({{.name = "a", .format = Format::int8, .shape = {4, 4}}}) ==
        "bug: a tensor to write has a format that GGUF lacks");
  CHECK(write({{.name = "a", .format = Format::q4_k, .shape = {4, 128}}}) ==
        "bug: a tensor to write can't have the shape [4, 128]");
  CHECK(write({{.name = "a", .format = Format::f32, .shape = {}}}) ==
        "bug: a tensor to write can't have the shape []");
  CHECK(write({{.name = "a", .format = Format::f32, .shape = {1}},
               {.name = "a", .format = Format::f32, .shape = {1}}}) ==
        "bug: two tensors to write have the same name");
  const auto set = [](const Json& value) {
    return message_of([&] { (void)gguf_layout({{"key", value}}, {}); });
  };
  CHECK(set(nullptr) == "bug: metadata to write has no GGUF type");
  CHECK(set({1, "a"}) == "bug: an array of metadata to write is of mixed types");
  CHECK(set({Json::array(), Json::array()}) == "bug: an array in an array of metadata to write");
}

}  // namespace
}  // namespace ktx::loader
