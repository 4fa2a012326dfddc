// Formatting of ktx-bench's rows.
#include "tools/common/bench_rows.hpp"

#include <algorithm>
#include <utility>

#include "tools/common/text.hpp"

namespace ktx::tools {

Row summarize(std::string test, std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  // The middle value, or the mean of the two in the middle.
  const double median = (rates[(rates.size() - 1) / 2] + rates[rates.size() / 2]) / 2;
  return {
      .test = std::move(test), .median = median, .spread = (rates.back() - rates.front()) / median};
}

std::string rate_cells(double rate, double unit, double whole) {
  if (rate <= 0) return " | ";
  return short_number(rate / unit) + " | " +
         (whole > 0 ? short_number(rate / whole * 100) + " %" : std::string());
}

double percent(double part, double whole) {
  return whole > 0 ? part / whole * 100 : 0;
}

std::string machine_text(const MachineSpeed& machine) {
  std::string out = "\n" + machine.name + ", " + std::to_string(machine.threads) +
                    (machine.threads == 1 ? " thread" : " threads") + ": reads " +
                    short_number(machine.read_bandwidth / 1e9) + " GB/s; TFLOP/s of";
  for (const auto& peak : machine.peaks)
    out += " " + peak.isa + " " + peak.type + " " + short_number(peak.ops_per_second / 1e12) +
           (&peak == &machine.peaks.back() ? "" : ",");
  return out + "\n";
}

Json machine_json(const MachineSpeed& machine) {
  Json out = {{"name", machine.name},
              {"threads", machine.threads},
              {"read_bandwidth", machine.read_bandwidth},
              {"peaks", Json::array()}};
  for (const auto& peak : machine.peaks)
    out["peaks"].push_back(
        {{"isa", peak.isa}, {"type", peak.type}, {"ops_per_second", peak.ops_per_second}});
  return out;
}

}  // namespace ktx::tools
