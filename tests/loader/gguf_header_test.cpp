// Metadata of every type, tensor tables, and every way in which they can be broken.
#include "loader/gguf_header.hpp"

#include <bit>
#include <cmath>
#include <functional>

#include "catch.hpp"
#include "loader/checkpoint.hpp"
#include "loader/safetensors_header.hpp"
#include "raw_gguf.hpp"

namespace ktx::loader {
namespace {

constexpr uint32_t f32_type = 0, q4_0_type = 2, q8_0_type = 8;

std::string read_error(const std::string& bytes, bool header_only = false) {
  const TempDir dir;
  const auto file = dir.write("m.gguf", bytes);
  const auto error = error_of([&] { read_gguf_header(base::FileReader(file), header_only); });
  if (!error) return "no error";
  CHECK(error->where() == file.string());
  CHECK(error->category() == ErrorCategory::input);
  return error->message();
}

GgufHeader read(const RawGguf& writer, bool header_only = false) {
  const TempDir dir;
  return read_gguf_header(base::FileReader(dir.write("m.gguf", writer.bytes())), header_only);
}

std::string floats(size_t n) {
  return std::string(n * 4, '\x3f');
}

TEST_CASE("metadata of every type, in versions 2 and 3") {
  for (const uint32_t version : {2u, 3u}) {
    RawGguf w(version);
    w.key("u8", gguf_u8, raw<uint8_t>(255)).key("i8", gguf_i8, raw<int8_t>(-128));
    w.key("u16", gguf_u16, raw<uint16_t>(65535)).key("i16", gguf_i16, raw<int16_t>(-32768));
    w.key("u32", gguf_u32, raw<uint32_t>(4294967295u)).key("i32", gguf_i32, raw<int32_t>(-7));
    w.key("f32", gguf_f32, raw(1e-6f)).key("f64", gguf_f64, raw(0.1));
    w.key("yes", gguf_bool, raw<uint8_t>(1)).key("no", gguf_bool, raw<uint8_t>(0));
    w.key("u64", gguf_u64, raw<uint64_t>(~0ull)).key("i64", gguf_i64, raw<int64_t>(INT64_MIN));
    w.key("text", gguf_text, gguf_string("h\xc3\xa4nde"));
    w.key("empty", gguf_text, gguf_string(""));
    w.key("whole", gguf_f32, raw(4.0f));
    const Json m = read(w).metadata;
    CHECK(base::dump_json(m) ==
          R"({"u8":255,"i8":-128,"u16":65535,"i16":-32768,"u32":4294967295,"i32":-7,)"
          R"("f32":9.999999974752427e-07,"f64":0.1,"yes":true,"no":false,)"
          R"("u64":18446744073709551615,"i64":-9223372036854775808,"text":"hände","empty":"",)"
          R"("whole":4.0})");
    CHECK(m["f32"].get<float>() == 1e-6f);
    CHECK(m["whole"].is_number_float());
    CHECK(m["u8"].is_number_unsigned());
  }
}

TEST_CASE("arrays of every type, and arrays in arrays") {
  RawGguf w;
  w.key("texts", gguf_array, gguf_values(gguf_text, {gguf_string("a"), gguf_string("")}));
  w.key("ints", gguf_array, gguf_values(gguf_i32, {raw<int32_t>(-1), raw<int32_t>(2)}));
  w.key("bools", gguf_array, gguf_values(gguf_bool, {"\x01", std::string(1, '\0')}));
  w.key("doubles", gguf_array, gguf_values(gguf_f64, {raw(0.5)}));
  w.key("none", gguf_array, gguf_values(gguf_u64, {}));
  const std::string inner = gguf_values(gguf_u8, {"\x07", "\x08"});
  w.key("nested", gguf_array, gguf_values(gguf_array, {inner, gguf_values(gguf_f32, {})}));
  CHECK(base::dump_json(read(w).metadata) ==
        R"({"texts":["a",""],"ints":[-1,2],"bools":[true,false],"doubles":[0.5],"none":[],)"
        R"("nested":[[7,8],[]]})");
}

TEST_CASE("arrays nest eight levels, not nine") {
  const auto nested = [](int levels) {
    const std::string array_of_one_array = raw<uint32_t>(gguf_array) + raw<uint64_t>(1);
    std::string value;
    for (int i = 1; i < levels; ++i) value += array_of_one_array;
    RawGguf w;
    w.key("deep", gguf_array, value + gguf_values(gguf_u8, {"\x01"}));
    return w;
  };
  CHECK(base::dump_json(read(nested(8)).metadata) == R"({"deep":[[[[[[[[1]]]]]]]]})");
  CHECK(read_error(nested(9).bytes()) == "metadata 'deep': arrays nested deeper than 8 levels");
  CHECK(read_error(nested(100000).bytes()) ==
        "metadata 'deep': arrays nested deeper than 8 levels");
}

TEST_CASE("tensors: reversed shapes, offsets by alignment") {
  for (const uint32_t alignment : {8u, 32u, 64u, 4096u}) {
    RawGguf w;
    w.align(alignment);
    w.tensor("a", {4, 2, 3}, f32_type, floats(24)).tensor("b", {64}, q8_0_type, std::string(68, 1));
    w.tensor("c", {1}, f32_type, floats(1));
    const GgufHeader h = read(w);
    REQUIRE(h.tensors.size() == 3);
    CHECK(h.tensors[0].name == "a");
    CHECK(h.tensors[0].shape == std::vector<int64_t>{3, 2, 4});
    CHECK(h.tensors[0].size == 96);
    CHECK(h.tensors[1].format == quant::Format::q8_0);
    CHECK(h.tensors[1].size == 68);
    for (const auto& t : h.tensors) CHECK(t.offset % alignment == 0);
    CHECK(h.tensors[1].offset ==
          h.tensors[0].offset + (96 + alignment - 1) / alignment * alignment);
  }
}

TEST_CASE("a file without tensors may end after its metadata") {
  RawGguf w;
  w.key("a", gguf_u8, "\x01");
  const std::string bytes = w.bytes();
  const TempDir dir;
  const auto file = dir.write("m.gguf", bytes.substr(0, 24 + 9 + 4 + 1));
  CHECK(read_gguf_header(base::FileReader(file), false).tensors.empty());
  CHECK(base::dump_json(read_gguf_metadata(base::FileReader(file))) == R"({"a":1})");
}

TEST_CASE("GGUF: what is wrong at the file's start") {
  CHECK(read_error("") ==
        "the header: the file ends inside it: expected 4 bytes at byte 0, found 0");
  CHECK(read_error("GG") ==
        "the header: the file ends inside it: expected 4 bytes at byte 0, found 2");
  CHECK(read_error("PK\3\4 and so on and so on and so on") ==
        "not a GGUF file: expected it to start with 'GGUF'");
  CHECK(read_error(RawGguf(1).bytes()) == "GGUF version: expected 2 or 3, found 1");
  CHECK(read_error(RawGguf(4).bytes()) == "GGUF version: expected 2 or 3, found 4");
  CHECK(read_error(RawGguf(0x03000000).bytes()) ==
        "a big-endian GGUF file; ktx reads little-endian ones");
  RawGguf w;
  w.key_count = 1ull << 63;
  CHECK(read_error(w.bytes()) ==
        "the header: expected at most 65536 metadata keys, found 9223372036854775808");
  w.key_count = 0;
  w.tensor_count = 1ull << 63;
  CHECK(read_error(w.bytes()) ==
        "the tensor table: expected at most 1048576 tensors, found 9223372036854775808");
  w.tensor_count = 1ull << 20;
  CHECK(read_error(w.bytes()) ==
        "the tensor table: the file ends inside it: expected 1048576 tensors, found 8 "
        "bytes");
}

TEST_CASE("GGUF: broken metadata") {
  const auto with = [](const std::string& name, uint32_t type, const std::string& value) {
    return read_error(RawGguf().key("first", gguf_u8, "\x01").key(name, type, value).bytes());
  };
  CHECK(with("first", gguf_u8, "\x01") == "metadata 'first': the key occurs twice");
  CHECK(with("", gguf_u8, "\x01") ==
        "metadata key 2 of 2: expected a name of 1 to 65535 bytes, found 0");
  CHECK(with(std::string(65536, 'x'), gguf_u8, "\x01") ==
        "metadata key 2 of 2: expected a name of 1 to 65535 bytes, found 65536");
  CHECK(with("x", 13, "\x01") == "metadata 'x': expected a value type of 0 to 12, found 13");
  CHECK(with("x", gguf_bool, "\x02") == "metadata 'x': expected a bool of 0 or 1, found 2");
  CHECK(with("x", gguf_text, raw<uint64_t>(1u << 20) + "abc").substr(0, 74) ==
        "metadata 'x': the file ends inside it: expected 1048576 bytes at byte 63, ");
  CHECK(with("x", gguf_text, raw<uint64_t>(~0ull)) ==
        "metadata 'x': a string of 18446744073709551615 bytes is too long");
  CHECK(with("x", gguf_array, raw<uint32_t>(77) + raw<uint64_t>(0)) ==
        "metadata 'x': expected a value type of 0 to 12, found 77");
  for (const uint32_t type : {gguf_u8, gguf_u64, gguf_text, gguf_array})
    CHECK(with("x", gguf_array, raw(type) + raw<uint64_t>(1ull << 61)).substr(0, 88) ==
          "metadata 'x': the file ends inside it: expected an array of "
          "2305843009213693952 values, ");
  for (const uint32_t alignment : {0u, 3u, 33u})
    CHECK(with("general.alignment", gguf_u32, raw(alignment)) ==
          "metadata 'general.alignment': expected a power of two, found " +
              std::to_string(alignment));
  CHECK(with("general.alignment", gguf_text, gguf_string("32")) ==
        "metadata 'general.alignment': expected a power of two, found \"32\"");
}

TEST_CASE("GGUF: broken tensors") {
  const auto with = [](const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    RawGguf w;
    w.tensor("first", {8}, f32_type, floats(8)).tensor_at("t", dims, type, offset);
    return read_error(w.bytes() + std::string(4096, '\0'));
  };
  CHECK(with({8}, f32_type, 32) == "no error");
  CHECK(with({}, f32_type, 32) == "tensor 't': expected 1 to 4 dimensions, found 0");
  CHECK(with({1, 1, 1, 1, 8}, f32_type, 32) == "tensor 't': expected 1 to 4 dimensions, found 5");
  CHECK(with({8, 0}, f32_type, 32) == "tensor 't': expected a dimension of 1 to 2^48, found 0");
  CHECK(with({8, 1ull << 63}, f32_type, 32) ==
        "tensor 't': expected a dimension of 1 to 2^48, found 9223372036854775808");
  CHECK(with({1ull << 40, 1ull << 40}, f32_type, 32) ==
        "tensor 't': the shape [1099511627776, 1099511627776] is too large");
  CHECK(with({8}, f32_type, 40) ==
        "tensor 't': its offset 40 is not a multiple of the alignment 32");
  CHECK(with({8}, f32_type, 0) == "tensor 't': its data overlaps that of tensor 'first'");
  CHECK(with({8}, f32_type, ~0ull - 31) ==
        "tensor 't': its offset 18446744073709551584 is too large");
  CHECK(with({8}, f32_type, 1ull << 62) ==
        "tensor 't': the file ends inside its data: expected bytes 4611686018427388000 to "
        "4611686018427388032, found a file of 4224 bytes");
  RawGguf twice;
  twice.tensor("t", {8}, f32_type, floats(8)).tensor("t", {8}, f32_type, floats(8));
  CHECK(read_error(twice.bytes()) == "tensor 't': is in the tensor table twice");
  RawGguf nameless;
  nameless.tensor("", {8}, f32_type, floats(8));
  CHECK(read_error(nameless.bytes()) ==
        "entry 1 of 1 of the tensor table: expected a name of 1 to 65535 bytes, found 0");
}

TEST_CASE("GGUF: tensors may touch, but not share a byte") {
  const auto second_at = [](uint64_t offset) {
    RawGguf w;
    w.key("general.alignment", gguf_u32, raw(uint32_t{1}));
    w.tensor_at("a", {8}, f32_type, 0).tensor_at("b", {8}, f32_type, offset);
    return read_error(w.bytes() + std::string(4096, '\0'));
  };
  CHECK(second_at(32) == "no error");
  CHECK(second_at(31) == "tensor 'b': its data overlaps that of tensor 'a'");
}

TEST_CASE("GGUF: what can't be read of a tensor matters to who wants it") {
  const auto unread = [](const std::vector<uint64_t>& dims, uint32_t type) {
    RawGguf w;
    w.tensor_at("t", dims, type, 0);
    return read(w, true).tensors.at(0).unread;
  };
  CHECK(unread({8}, f32_type).empty());
  CHECK(unread({48}, q4_0_type) ==
        "has rows of 48 weights, which are not whole blocks of 32, as q4_0 needs");
  CHECK(unread({8}, 139) == "has ggml type 139, iq4_k of ik_llama.cpp, which ktx doesn't read");
  CHECK(unread({8}, 0xffffffffu) == "has ggml type 4294967295, which ktx doesn't read");
}

TEST_CASE("GGUF: header_only takes a file without its data, but no broken table") {
  RawGguf w;
  w.tensor_at("a", {1 << 20, 1 << 20}, f32_type, 0).tensor_at("b", {8}, f32_type, 1ull << 42);
  const GgufHeader h = read(w, true);
  REQUIRE(h.tensors.size() == 2);
  CHECK(h.tensors[0].size == 1ull << 42);
  w.tensor_at("c", {8}, f32_type, 1ull << 41);
  CHECK(read_error(w.bytes(), true) == "tensor 'c': its data overlaps that of tensor 'a'");
}

TEST_CASE("every ggml type of the block file decodes to its reference") {
  const std::string blocks = KTX_TEST_DATA "/blocks/ggml_blocks";
  const auto source = open_checkpoint(blocks + ".gguf");
  const SafetensorsFile reference(blocks + ".safetensors");
  CHECK(source->tensors().size() == 22);
  for (const auto& tensor : source->tensors()) {
    INFO(tensor.name);
    CHECK(quant::name(tensor.format) == tensor.name);
    CHECK(tensor.shape == std::vector<int64_t>{4, 1024});
    const auto* entry = reference.find(tensor.name);
    REQUIRE(entry != nullptr);
    std::vector<float> expected(4 * 1024), decoded(1024);
    std::memcpy(expected.data(), reference.bytes(*entry).data(), expected.size() * 4);
    for (int64_t row = 0; row < 4; ++row) {
      quant::info(tensor.format)
          .decode(read_rows(*source, tensor, row, 1).data(), decoded.data(), 1024);
      int64_t different = 0;
      for (size_t i = 0; i < 1024; ++i)
        different += std::bit_cast<uint32_t>(decoded[i]) !=
                     std::bit_cast<uint32_t>(expected[static_cast<size_t>(row) * 1024 + i]);
      CHECK(different == 0);
    }
  }
}

}  // namespace
}  // namespace ktx::loader
