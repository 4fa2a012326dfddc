// Rows of the tables of ktx-bench.
#pragma once

#include <string>
#include <vector>

namespace ktx::tools {

struct Row {
  std::string test;
  double median = 0, spread = 0;  // tokens/s; spread relative to the median
  double predicted = 0;           // tokens/s, by the plan; 0: not known
  double bytes_per_second = 0;    // decode only
  double ops_per_second = 0;      // prefill only
};

/// rates: tokens/s of the repetitions, at least one.
Row summarize(std::string test, std::vector<double> rates);

}  // namespace ktx::tools
