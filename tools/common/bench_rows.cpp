#include "tools/common/bench_rows.hpp"

#include <algorithm>
#include <utility>

namespace ktx::tools {

Row summarize(std::string test, std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  // The middle value, or the mean of the two in the middle.
  const double median = (rates[(rates.size() - 1) / 2] + rates[rates.size() / 2]) / 2;
  return {
      .test = std::move(test), .median = median, .spread = (rates.back() - rates.front()) / median};
}

}  // namespace ktx::tools
