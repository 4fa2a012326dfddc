// Places by name.
#include "core/device/place.hpp"

#include <array>
#include <charconv>

namespace ktx::device {

namespace {

struct KindInfo {
  DeviceKind kind;
  std::string_view name;
  bool numbered;  // written with ":index"
};
constexpr std::array<KindInfo, 2> kinds{
    {{DeviceKind::cpu, "cpu", false}, {DeviceKind::cuda, "cuda", true}}};

// One or more digits without sign, at most 9999: more is a mistake.
std::optional<int> parse_index(std::string_view text) noexcept {
  int index = 0;
  const char* end = text.data() + text.size();
  if (text.empty() || text.size() > 4 || text.front() == '-') return std::nullopt;
  const auto [stop, error] = std::from_chars(text.data(), end, index);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return index;
}

}  // namespace

std::optional<Place> parse_device(std::string_view text) noexcept {
  const size_t colon = text.find(':');
  for (const auto& kind : kinds) {
    if (text.substr(0, colon) != kind.name || kind.numbered != (colon != std::string_view::npos))
      continue;
    if (!kind.numbered) return Place{kind.kind};
    if (const auto index = parse_index(text.substr(colon + 1))) return Place{kind.kind, *index};
  }
  return std::nullopt;
}

std::string to_string(const Place& place) {
  std::string text;
  for (const auto& kind : kinds)
    if (kind.kind == place.kind)
      text = std::string(kind.name) + (kind.numbered ? ":" + std::to_string(place.index) : "");
  if (place.node != Place::every_node) text += " node " + std::to_string(place.node);
  return text;
}

}  // namespace ktx::device
