// Rows of the tables of ktx-bench.
#pragma once

#include <string>
#include <vector>

#include "ktx/bench.hpp"
#include "tools/common/json.hpp"

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

/// "12.3 | 45.6 %", or two empty cells where there is nothing to say.
std::string rate_cells(double rate, double unit, double whole);

double percent(double part, double whole);

std::string machine_text(const MachineSpeed& machine);
Json machine_json(const MachineSpeed& machine);

}  // namespace ktx::tools
