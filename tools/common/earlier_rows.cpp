// Reads what ktx-bench wrote, as far as a comparison needs it.
#include "tools/common/earlier_rows.hpp"

#include <string>

#include "ktx/error.hpp"
#include "tools/common/files.hpp"
#include "tools/common/json.hpp"

namespace ktx::tools {

EarlierRows::EarlierRows(const std::filesystem::path& file, const KernelBenchOptions& options) {
  int64_t hidden = 0, intermediate = 0;
  try {
    const auto json = Json::parse(read_file(file));
    json.at("hidden").get_to(hidden);
    json.at("intermediate").get_to(intermediate);
    for (const auto& row : json.at("rows"))
      rows_.push_back({.op = row.at("op"),
                       .format = row.at("format"),
                       .kernel = row.at("kernel"),
                       .tokens = row.at(row.at("op") == "layer" ? "tokens" : "tokens_per_expert"),
                       .experts = row.at("experts"),
                       .threads = row.value("threads", 0),
                       .seconds = row.at("seconds")});
  } catch (const Json::exception&) {
    throw Error(ErrorCategory::input, "expected the output of 'ktx-bench kernels --json'",
                file.string());
  }
  if (hidden != options.hidden || intermediate != options.intermediate)
    throw Error(ErrorCategory::input,
                "expected rows of hidden " + std::to_string(options.hidden) + ", intermediate " +
                    std::to_string(options.intermediate) + ", found hidden " +
                    std::to_string(hidden) + ", intermediate " + std::to_string(intermediate),
                file.string());
}

std::optional<double> EarlierRows::speedup(const KernelRow& row) const {
  const KernelRow* found = nullptr;
  int count = 0;
  for (const auto& earlier : rows_) {
    if (earlier.op != row.op || earlier.format != row.format || earlier.tokens != row.tokens ||
        (row.op == "layer" && earlier.experts != row.experts) ||
        (earlier.threads > 0 && earlier.threads != row.threads))
      continue;
    if (earlier.kernel == row.kernel) return earlier.seconds / row.seconds;
    found = &earlier;
    ++count;
  }
  if (count != 1) return std::nullopt;
  return found->seconds / row.seconds;
}

}  // namespace ktx::tools
