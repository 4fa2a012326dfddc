// The tensor table of a safetensors file, and every way in which it can be broken.
#include "loader/safetensors_header.hpp"

#include <cstring>

#include "catch.hpp"
#include "files.hpp"

namespace ktx::loader {
namespace {
namespace fs = std::filesystem;

std::string read_error(const std::string& bytes, bool header_only = false) {
  const TempDir dir;
  const auto file = dir.write("m.safetensors", bytes);
  const auto error = error_of([&] { SafetensorsFile(file, header_only); });
  if (!error) return "no error";
  CHECK(error->where() == file.string());
  CHECK(error->category() == ErrorCategory::input);
  return error->message();
}

// The error of a header with 8 bytes of data after it.
std::string header_error(const std::string& header) {
  return read_error(safetensors_bytes(header, "01234567"));
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

TEST_CASE("entries in the order of their data, with their bytes") {
  const TempDir dir;
  const SafetensorsFile file(dir.write(
      "m.safetensors", safetensors_bytes("{\"b\":" + entry("I32", "[1]", "[4,8]") +
                                             ",\"__metadata__\":{\"a\":\"x\"}," +
                                             "\"a\":" + entry("BF16", "[2,1]", "[0,4]") +
                                             ",\"none\":" + entry("F32", "[0,3]", "[8,8]") +
                                             ",\"scalar\":" + entry("F32", "[]", "[8,12]") + "}   ",
                                         "abcdefghijkl")));
  REQUIRE(file.entries().size() == 4);
  CHECK(file.entries()[0].name == "a");
  CHECK(file.entries()[0].dtype == "BF16");
  CHECK(file.entries()[0].shape == std::vector<int64_t>{2, 1});
  CHECK(file.find("scalar")->shape.empty());
  CHECK(std::memcmp(file.bytes(*file.find("b")).data(), "efgh", 4) == 0);
  CHECK(file.bytes(*file.find("scalar")).size() == 4);
  CHECK(file.bytes(*file.find("none")).empty());
  CHECK(file.find("c") == nullptr);
}

TEST_CASE("safetensors: broken at the start") {
  CHECK(read_error("") ==
        "the header: the file ends inside it: expected 8 bytes at byte 0, found 0");
  CHECK(read_error("1234") ==
        "the header: the file ends inside it: expected 8 bytes at byte 0, found 4");
  CHECK(read_error(raw<uint64_t>(100) + "{}") ==
        "the header: the file ends inside it: expected 100 bytes at byte 8, found 2");
  CHECK(read_error(raw<uint64_t>(~0ull) + "{}") ==
        "the header: expected at most 100000000 bytes, found a size of 18446744073709551615: not a "
        "safetensors file?");
  CHECK(read_error(safetensors_bytes(" {}", "")) == "the header: expected it to start with '{'");
  CHECK(read_error(safetensors_bytes("", "")) == "the header: expected it to start with '{'");
  CHECK(read_error(safetensors_bytes("{}", "")) == "no error");
  CHECK(read_error(safetensors_bytes("{\"a\":", "")) ==
        "the header is not valid JSON at its byte 6");
  CHECK(read_error(safetensors_bytes("{}{}", "")) == "the header is not valid JSON at its byte 3");
}

TEST_CASE("safetensors: broken entries") {
  const auto with = [](const std::string& value) { return header_error("{\"t\":" + value + "}"); };
  CHECK(with(entry("F32", "[2]", "[0,8]")) == "no error");
  CHECK(with("[]") == "tensor 't': expected an object in the header, found an array");
  CHECK(with("3") == "tensor 't': expected an object in the header, found a number");
  CHECK(with("{\"dtype\":3}") == "tensor 't': 'dtype': expected a string, found a number");
  CHECK(with("{\"shape\":\"x\"}") ==
        "tensor 't': 'shape': expected an array of whole numbers, found a string");
  CHECK(with("{\"shape\":[-1]}") ==
        "tensor 't': 'shape': expected an array of whole numbers, found a negative number");
  CHECK(with("{\"shape\":[1.5]}") ==
        "tensor 't': 'shape': expected an array of whole numbers, found a fraction");
  CHECK(with("{\"shape\":[[1]]}") ==
        "tensor 't': 'shape': expected an array of whole numbers, found an array");
  CHECK(with("{\"shape\":{}}") ==
        "tensor 't': 'shape': expected an array of whole numbers, found an object");
  CHECK(with("{\"data_offsets\":[null,1]}") ==
        "tensor 't': 'data_offsets': expected an array of whole numbers, found null");
  CHECK(with("{\"type\":1}") == "tensor 't': unknown field 'type' in the header");
  CHECK(with("{\"shape\":[1],\"shape\":[1]}") == "tensor 't': 'shape' is in the header twice");
  CHECK(with("{\"shape\":[1],\"data_offsets\":[0,8]}") ==
        "tensor 't': expected dtype, shape and data_offsets in the header, found no dtype");
  CHECK(with("{\"dtype\":\"F32\",\"shape\":[1]}") ==
        "tensor 't': expected dtype, shape and data_offsets in the header, found no data_offsets");
  CHECK(with(entry("F32", "[2]", "[0]")) ==
        "tensor 't': data_offsets: expected a begin and an end, found [0]");
  CHECK(with(entry("F32", "[2]", "[8,0]")) ==
        "tensor 't': data_offsets: expected a begin and an end, found [8, 0]");
  CHECK(with(entry("F32", "[2]", "[0,18446744073709551615]")) ==
        "tensor 't': data_offsets: expected a begin and an end, found [0, 18446744073709551615]");
  CHECK(with(entry("F32", "[3]", "[0,8]")) ==
        "tensor 't': expected 12 bytes for F32 [3], found data_offsets [0, 8], 8 bytes");
  CHECK(with(entry("BF16", "[2]", "[0,8]")) ==
        "tensor 't': expected 4 bytes for BF16 [2], found data_offsets [0, 8], 8 bytes");
  CHECK(with(entry("I64", "[2]", "[0,8]")) ==
        "tensor 't': expected 16 bytes for I64 [2], found data_offsets [0, 8], 8 bytes");
  CHECK(with(entry("NEW", "[77]", "[0,8]")) == "no error");
  CHECK(with(entry("F32", "[18446744073709551615]", "[0,8]")) ==
        "tensor 't': a dimension of 18446744073709551615 is too large");
  CHECK(with(entry("F32", "[4294967296,4294967296,0]", "[0,8]")) ==
        "tensor 't': the shape [4294967296, 4294967296, 0] is too large");
  std::string long_shape = "[1";
  for (int i = 0; i < 64; ++i) long_shape += ",1";
  CHECK(with(entry("F32", long_shape + "]", "[0,8]")) ==
        "tensor 't': 'shape' has more than 64 numbers");
  CHECK(header_error("{\"t\":" + entry("F32", "[2]", "[0,8]") + ",\"t\":" +
                     entry("F32", "[2]", "[0,8]") + "}") == "tensor 't': is in the header twice");
  CHECK(header_error("{\"__metadata__\":{\"a\":1}}") ==
        "the header's __metadata__: expected strings, found a number");
  CHECK(read_error(safetensors_bytes("{\"a\":" + std::string(1000000, '['), "")) ==
        "tensor 'a': expected an object in the header, found an array");
}

TEST_CASE("safetensors: overlaps, holes and ends") {
  const auto two = [](const std::string& a, const std::string& b, const std::string& data) {
    return read_error(safetensors_bytes(
        "{\"a\":" + entry("F32", "[1]", a) + ",\"b\":" + entry("F32", "[2]", b) + "}", data));
  };
  const std::string data(12, 'x');
  CHECK(two("[0,4]", "[4,12]", data) == "no error");
  CHECK(two("[8,12]", "[0,8]", data) == "no error");
  CHECK(two("[0,4]", "[0,8]", data) == "tensor 'b': its data overlaps that of tensor 'a'");
  CHECK(two("[4,8]", "[0,8]", data) == "tensor 'a': its data overlaps that of tensor 'b'");
  CHECK(two("[0,4]", "[8,16]", data) ==
        "tensor 'b': expected its data at byte 4 of the data, where those before it end, found "
        "byte 8");
  CHECK(two("[0,4]", "[4,12]", data + "y") ==
        "expected the data to end after 12 bytes with the last tensor, found 13 bytes");
  CHECK(two("[0,4]", "[4,12]", data.substr(1)) ==
        "tensor 'b': the file ends inside its data: expected data_offsets up to 11, found [4, 12]");
  CHECK(two("[0,4]", "[4,12]", "") ==
        "tensor 'a': the file ends inside its data: expected data_offsets up to 0, found [0, 4]");
}

TEST_CASE("safetensors: header_only takes a file without its data, but no broken table") {
  const std::string good = "{\"a\":" + entry("F32", "[1048576,1048576]", "[0,4398046511104]") + "}";
  CHECK(read_error(safetensors_bytes(good, ""), true) == "no error");
  const std::string hole = "{\"a\":" + entry("F32", "[1]", "[4,8]") + "}";
  CHECK(read_error(safetensors_bytes(hole, ""), true) ==
        "tensor 'a': expected its data at byte 0 of the data, where those before it end, found "
        "byte 4");
}

TEST_CASE("a real file cut off at 200 places, and with 2000 flipped bytes in its header") {
  const TempDir dir;
  const std::string bytes = read_bytes(KTX_TEST_DATA "/arch/llama/model.safetensors");
  REQUIRE(bytes.size() > 700000);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  Random random(3);
  const fs::path file = dir.write("cut.safetensors", bytes);
  const SafetensorsFile whole(KTX_TEST_DATA "/arch/llama/model.safetensors");
  std::vector<uint64_t> places;
  for (int i = 0; i < 200; ++i) places.push_back(random.below(i < 50 ? 8 + header : bytes.size()));
  std::sort(places.rbegin(), places.rend());
  for (const uint64_t size : places) {
    fs::resize_file(file, size);
    const auto error = error_of([&] { SafetensorsFile cut(file); });
    REQUIRE(error);
    CHECK(error->category() == ErrorCategory::input);
    CHECK(error->where() == file.string());
    const auto cut = std::find_if(
        whole.entries().begin(), whole.entries().end(),
        [&](const SafetensorsEntry& e) { return size >= 8 + header && size < e.offset + e.size; });
    const std::string expected =
        cut == whole.entries().end()
            ? "the header: the file ends inside it: "
            : "tensor '" + cut->name + "': the file ends inside its data: ";
    CHECK(error->message().substr(0, expected.size()) == expected);
  }
  int refused = 0;
  const std::string data = bytes.substr(0, 8 + header);
  for (int i = 0; i < 2000; ++i) {
    std::string flipped = data;
    flipped[random.below(i % 20 == 0 ? 8 : flipped.size())] ^=
        static_cast<char>(1 + random.below(255));
    const auto error =
        error_of([&] { SafetensorsFile(dir.write("f.safetensors", flipped), true); });
    refused += error.has_value();
    CHECK((!error || error->category() == ErrorCategory::input));
  }
  CHECK(refused > 1000);
}

}  // namespace
}  // namespace ktx::loader
