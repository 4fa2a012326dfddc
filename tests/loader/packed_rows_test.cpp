// Packed whole numbers: rows are scale times number less zero, however they were packed.
// covers: packed_columns
#include <array>
#include <functional>

#include "catch.hpp"
#include "core/quant/half.hpp"
#include "files.hpp"
#include "memory_source.hpp"

namespace ktx::loader {
namespace {

// A matrix of numbers, their scales and zeros, and the group of each column.
struct Numbers {
  int64_t rows, cols, group;
  int bits = 4;
  bool symmetric = true;
  bool ordered = false;

  int64_t groups() const { return cols / group; }
  unsigned number(int64_t r, int64_t c) const { return hash(1, r, c) & ((1u << bits) - 1); }
  float scale(int64_t r, int64_t g) const {
    return 0.125f * static_cast<float>(hash(2, r, g) % 200 + 1);
  }
  unsigned zero(int64_t r, int64_t g) const {
    const unsigned half = 1u << (bits - 1);
    return symmetric ? half : 1 + hash(3, r, g) % (2 * half - 1);
  }
  int32_t group_of(int64_t c) const {
    return static_cast<int32_t>((ordered ? (c * 7) % cols : c) / group);
  }
  float weight(int64_t r, int64_t c) const {
    const auto g = group_of(c);
    return scale(r, g) *
           static_cast<float>(static_cast<int>(number(r, c)) - static_cast<int>(zero(r, g)));
  }
  std::string order() const {
    std::string out;
    for (int64_t c = 0; c < cols; ++c) out += raw(group_of(c));
    return out;
  }

 private:
  static unsigned hash(uint64_t what, int64_t a, int64_t b) {
    return static_cast<unsigned>(
        Random(what * 1000003 + static_cast<uint64_t>(a) * 10007 + static_cast<uint64_t>(b))
            .next());
  }
};

using At = std::function<unsigned(int64_t row, int64_t col)>;
constexpr std::array<int, 8> plain{0, 1, 2, 3, 4, 5, 6, 7};

// Numbers [rows, cols] in words along rows; `order`: of the numbers in a word.
std::string words_along_rows(int64_t rows, int64_t cols, int bits, const At& at,
                             const std::array<int, 8>& order = plain) {
  std::string out;
  const int64_t per_word = 32 / bits;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; c += per_word) {
      uint32_t word = 0;
      for (int64_t i = 0; i < per_word; ++i)
        word |= at(r, c + order[static_cast<size_t>(i)]) << (i * bits);
      out += raw(word);
    }
  return out;
}
// The same along columns.
std::string words_along_columns(int64_t rows, int64_t cols, int bits, const At& at) {
  std::string out;
  for (int64_t r = 0; r < rows; r += 32 / bits)
    for (int64_t c = 0; c < cols; ++c) {
      uint32_t word = 0;
      for (int64_t i = 0; i < 32 / bits && r + i < rows; ++i) word |= at(r + i, c) << (i * bits);
      out += raw(word);
    }
  return out;
}

std::string scale_bytes_of(ScaleType type, float value) {
  return type == ScaleType::f32   ? raw(value)
         : type == ScaleType::f16 ? raw(quant::f32_to_f16(value))
                                  : raw(quant::f32_to_bf16(value));
}

void check_rows(const Assembly& made, const Numbers& n) {
  for (const auto& [first, count] :
       {std::pair<int64_t, int64_t>{0, n.rows}, {3, 2}, {n.rows - 1, 1}, {0, 0}}) {
    const auto got = weights_of(made, first, count, n.cols);
    int64_t wrong = 0;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t c = 0; c < n.cols; ++c)
        wrong += got[static_cast<size_t>(r * n.cols + c)] != n.weight(first + r, c);
    CHECK(wrong == 0);
  }
}

void check_packed_rows(const Numbers& n, ScaleType type, quant::Format format) {
  INFO(n.group << " of " << n.bits << " bits, scales " << static_cast<int>(type));
  const MemorySource numbers(words_along_rows(
      n.rows, n.cols, n.bits, [&](int64_t r, int64_t c) { return n.number(r, c); }));
  std::string scale_text;
  for (int64_t r = 0; r < n.rows; ++r)
    for (int64_t g = 0; g < n.groups(); ++g) scale_text += scale_bytes_of(type, n.scale(r, g));
  const MemorySource scales(scale_text), order(n.order());
  const MemorySource zeros(words_along_columns(n.rows, n.groups(), n.bits,
                                               [&](int64_t r, int64_t g) { return n.zero(r, g); }));
  PackedParts p;
  p.numbers = numbers.rows(static_cast<uint64_t>(n.cols * n.bits / 8));
  p.scales = {scales.rows(scale_text.size() / static_cast<size_t>(n.rows)), type, n.groups()};
  if (!n.symmetric) p.zeros = zeros.rows(static_cast<uint64_t>(n.groups()) * 4);
  if (n.ordered) p.order = order.rows(order.size());
  p.rows = n.rows;
  p.cols = n.cols;
  p.group = n.group;
  p.bits = n.bits;
  const auto made = assemble_packed_rows(p);
  CHECK(made->format() == format);
  check_rows(*made, n);
}

TEST_CASE("numbers packed along rows") {
  using enum quant::Format;
  check_packed_rows({11, 128, 32}, ScaleType::bf16, int4_32);
  check_packed_rows({11, 128, 64}, ScaleType::bf16, int4_64);
  check_packed_rows({11, 256, 256}, ScaleType::bf16, int4_128);
  check_packed_rows({11, 128, 128}, ScaleType::f16, q4_0);
  check_packed_rows({11, 128, 32}, ScaleType::f32, f32);
  check_packed_rows({11, 96, 16}, ScaleType::bf16, f32);
  check_packed_rows({11, 96, 32, 8}, ScaleType::bf16, f32);
  check_packed_rows({21, 96, 32, 4, false}, ScaleType::bf16, f32);
  check_packed_rows({11, 96, 32, 4, true, true}, ScaleType::bf16, f32);
}

constexpr std::array<int, 8> awq_order{0, 2, 4, 6, 1, 3, 5, 7};

// The assembly over parts of GPTQ (with its first version's zeros) or AWQ, and the parts' memory.
struct Columns {
  Columns(const Numbers& n, bool gptq, ScaleType type = ScaleType::f16)
      : numbers(gptq ? words_along_columns(n.cols, n.rows, n.bits,
                                           [&](int64_t c, int64_t r) { return n.number(r, c); })
                     : words_along_rows(
                           n.cols, n.rows, n.bits,
                           [&](int64_t c, int64_t r) { return n.number(r, c); }, awq_order)),
        zeros(words_along_rows(
            n.groups(), n.rows, n.bits,
            [&](int64_t g, int64_t r) { return n.zero(r, g) - (gptq ? 1 : 0); },
            gptq ? plain : awq_order)),
        scales(scales_of(n, type)),
        order(n.order()) {
    PackedParts& p = columns.parts;
    p.name = "w.weight";
    p.where = "w.safetensors";
    const auto row_words = static_cast<uint64_t>(n.rows) * 4,
               packed = row_words * static_cast<unsigned>(n.bits) / 32;
    p.numbers = numbers.rows(gptq ? row_words : packed);
    p.zeros = zeros.rows(packed);
    p.scales = {scales.rows(scales.size() / static_cast<size_t>(n.groups())), type, n.rows};
    if (gptq) p.order = order.rows(order.size());
    p.rows = n.rows;
    p.cols = n.cols;
    p.group = n.group;
    p.bits = n.bits;
    columns.along_columns = gptq;
    columns.zero_offset = gptq ? 1 : 0;
    columns.symmetric = n.symmetric;
    columns.ordered = n.ordered;
  }

  static std::string scales_of(const Numbers& n, ScaleType type) {
    std::string out;
    for (int64_t g = 0; g < n.groups(); ++g)
      for (int64_t r = 0; r < n.rows; ++r) out += scale_bytes_of(type, n.scale(r, g));
    return out;
  }

  MemorySource numbers, zeros, scales, order;
  PackedColumns columns;
};

TEST_CASE("numbers packed along columns: GPTQ") {
  using enum quant::Format;
  const auto check = [](const Numbers& n, ScaleType type, quant::Format format) {
    const Columns c(n, true, type);
    const auto made = assemble_packed_columns(c.columns);
    CHECK(made->format() == format);
    check_rows(*made, n);
  };
  check({24, 128, 64}, ScaleType::f16, q4_0);
  check({24, 128, 64}, ScaleType::bf16, int4_64);
  check({24, 128, 32, 8}, ScaleType::f16, f32);
  check({24, 128, 32, 4, false}, ScaleType::f16, f32);
  check({24, 128, 32, 4, true, true}, ScaleType::f16, f32);
}

TEST_CASE("numbers of several rows in a word: AWQ") {
  Numbers n{24, 96, 32, 4, false};
  const Columns c(n, false);
  const auto made = assemble_packed_columns(c.columns);
  CHECK(made->format() == quant::Format::f32);
  check_rows(*made, n);
}

TEST_CASE("parts that contradict the configuration are input errors that name the tensor") {
  const auto error = [](const PackedColumns& columns) {
    return message_of([&] { weights_of(*assemble_packed_columns(columns), 0, 8, 64); });
  };
  Columns zeros({8, 64, 32, 4, false}, true);
  zeros.columns.symmetric = true;
  CHECK(error(zeros.columns).find("input: tensor 'w.weight': a zero of ") == 0);
  Columns order({8, 64, 32, 4, true, true}, true);
  order.columns.ordered = false;
  CHECK(error(order.columns).find("input: tensor 'w.weight': column ") == 0);
}

}  // namespace
}  // namespace ktx::loader
