// Plain-text tables, and formatting of their cells.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ktx::placement {

using Row = std::vector<std::string>;

/// Left-aligned columns two spaces apart, each line indented by two and ended by '\n'.
std::string table(const std::vector<Row>& rows);

/// "1 module", "3 modules"
std::string plural(size_t count, const char* noun);

/// "7.20 s", "1.21 ms", "48.0 us"
std::string duration_text(double seconds);

/// "0-2,5", cut short after at least one range: "0-2,5,.. (19)".
std::string layers_text(const std::vector<int>& layers);

/// "box.yaml:7" of "rules/box.yaml:7".
std::string file_name(const std::string& where);

}  // namespace ktx::placement
