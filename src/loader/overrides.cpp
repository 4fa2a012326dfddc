// Keys of a configuration that the user sets.
#include "loader/overrides.hpp"

#include "core/base/error.hpp"

namespace ktx::loader {

namespace {

Json value_of(const std::string& text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? Json(text) : value;
}

// The place of a key, made where there is none.
Json& place_of(Json& config, const std::string& key, bool nested) {
  const size_t dot = nested ? key.find('.') : std::string::npos;
  if (dot != std::string::npos) {
    const auto section = config.find(key.substr(0, dot));
    if (section != config.end() && section->is_object())
      return place_of(*section, key.substr(dot + 1), nested);
  }
  return config[key];
}

}  // namespace

void apply_overrides(Json& config, std::span<const std::string> overrides, bool nested) {
  for (const std::string& text : overrides) {
    const size_t sign = text.find('=');
    if (sign == 0 || sign == std::string::npos)
      throw_input("expected KEY=VALUE, found '" + text + "'", "--override");
    place_of(config, text.substr(0, sign), nested) = value_of(text.substr(sign + 1));
  }
}

}  // namespace ktx::loader
