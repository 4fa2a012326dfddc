// Keys as digests of texts.
#include "engine/load/weight_key.hpp"

#include <map>
#include <mutex>
#include <tuple>

#include "engine/load/weight_reader.hpp"

namespace ktx::engine {

namespace {

// Numbers between -1 and 1, or where ktx can't make the format any bytes: those can be decoded too.
std::vector<std::byte> sample_rows(quant::Format format, int64_t rows, int64_t cols) {
  auto state = 1 + static_cast<uint32_t>(format);  // formats of one size differ too
  const auto next = [&state] { return state = state * 1664525u + 1013904223u; };
  const int64_t row_bytes = quant::row_bytes(format, cols);
  std::vector<std::byte> out(static_cast<size_t>(rows * row_bytes));
  const auto encode = quant::info(format).encode;
  if (encode == nullptr)
    for (auto& byte : out) byte = static_cast<std::byte>(next() >> 24);
  std::vector<float> row(static_cast<size_t>(cols));
  for (int64_t r = 0; encode != nullptr && r < rows; ++r) {
    for (float& x : row) x = static_cast<float>(static_cast<int32_t>(next())) * 0x1p-31f;
    encode(row.data(), out.data() + r * row_bytes, cols);
  }
  return out;
}

// Of what the packer makes of a sample. The sample's sides are multiples of every format's block.
base::Digest packed_sample(quant::Format source, bool transposed, quant::Format format,
                           ops::Layout layout) {
  graph::Weight weight{.source = source, .rows = 256, .cols = 256, .transposed = transposed};
  const auto stored = sample_rows(source, weight.rows, weight.cols);
  const int64_t bytes = ops::packed_bytes(layout, format, weight.rows, weight.cols);
  std::vector<std::byte> packed(static_cast<size_t>(bytes));
  const Destination to{packed.data(), 0, weight.rows, bytes};
  PackScratch scratch;
  WeightPacker(weight, format, layout)
      .pack({.row_end = weight.rows}, stored.data(), {&to, 1}, scratch);
  return base::digest(packed);
}

const base::Digest& fingerprint(const LoadJob& job) {
  using Key = std::tuple<quant::Format, bool, quant::Format, ops::Layout>;
  static std::mutex mutex;
  static std::map<Key, base::Digest> known;
  const std::lock_guard lock(mutex);
  const Key key{job.weight->source, job.weight->transposed, job.format, job.layout};
  auto found = known.find(key);
  if (found == known.end())
    found = known
                .emplace(key, packed_sample(job.weight->source, job.weight->transposed, job.format,
                                            job.layout))
                .first;
  return found->second;
}

// Where the rows are cut between NUMA nodes; empty when they are not.
std::string cuts(const LoadJob& job) {
  std::string text;
  for (const auto& to : job.destinations)
    if (to.row_end < job.weight->rows) text += " cut " + std::to_string(to.row_end);
  return text;
}

}  // namespace

std::string packing_text(const LoadJob& job) {
  const auto& weight = *job.weight;
  return std::to_string(weight.count) + " x " + std::to_string(weight.rows) + " x " +
         std::to_string(weight.cols) + (weight.transposed ? " transposed " : " ") +
         std::string(quant::name(weight.source)) + " -> " + std::string(quant::name(job.format)) +
         " layout " + std::to_string(static_cast<int>(job.layout)) + cuts(job) + " " +
         fingerprint(job).hex() + "\n";
}

base::Digest state_key(std::span<const LoadJob* const> jobs, const loader::TensorSource& source) {
  std::string text = "state\n";
  for (const auto* job : jobs)
    text += packing_text(*job) + WeightReader(source, *job->weight).stamp();
  return base::digest(text);
}

base::Digest content_key(std::span<const LoadJob* const> jobs,
                         std::span<const base::Digest> contents) {
  std::string text = "content\n";
  for (size_t i = 0; i < jobs.size(); ++i)
    text += packing_text(*jobs[i]) + contents[i].hex() + "\n";
  return base::digest(text);
}

}  // namespace ktx::engine
