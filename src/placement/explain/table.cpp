// Tables of plain text.
#include "placement/explain/table.hpp"

#include <algorithm>
#include <filesystem>

#include "core/base/text.hpp"
#include "placement/totals.hpp"

namespace ktx::placement {

namespace {

constexpr size_t longest_layers = 20;  // columns

}  // namespace

std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      line += " " + row[i];
      line.append(widths[i] + 1 - row[i].size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string plural(size_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string duration_text(double seconds) {
  if (seconds >= 1) return base::format_number(seconds) + " s";
  if (seconds >= 1e-3) return base::format_number(1e3 * seconds) + " ms";
  return base::format_number(1e6 * seconds) + " us";
}

std::string layers_text(const std::vector<int>& layers) {
  const auto ranges = ranges_of(layers);
  std::string text = to_string(ranges);
  if (text.size() <= longest_layers) return text;
  std::vector<LayerRange> shown;
  for (const auto& range : ranges) {
    shown.push_back(range);
    if (to_string(shown).size() > longest_layers - 8) break;
  }
  if (shown.size() > 1) shown.pop_back();  // one range is shown, however long
  return to_string(shown) + ",.. (" + std::to_string(layers.size()) + ")";
}

std::string file_name(const std::string& where) {
  return std::filesystem::path(where).filename().string();
}

}  // namespace ktx::placement
