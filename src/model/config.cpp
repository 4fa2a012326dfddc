// Reads hyper-parameters from config.json or GGUF metadata; errors name the key and the file.
#include "model/config.hpp"

#include <cmath>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::model {
namespace {

/// The value as text for a message, cut when long.
std::string shown(const Json& value) {
  constexpr size_t most = 60;
  if (value.is_object() || value.is_array()) return std::string("an ") + value.type_name();
  return base::shortened(base::dump_json(value), most);
}

std::string shown(double value) {
  std::string text = base::dump_json(Json(value));
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

const Json& empty_object() {
  static const Json empty = Json::object();
  return empty;
}

}  // namespace

Config::Config(Naming naming, const Json& object, std::string where, std::string prefix)
    : naming_(naming), object_(&object), where_(std::move(where)), prefix_(std::move(prefix)) {
  if (!object.is_object()) {
    throw_input("the configuration must be an object, found " + shown(object), where_);
  }
}

const Json* Config::find(const Key& key) const {
  const auto get = [&](const std::string& name) -> const Json* {
    const auto found = object_->find(name);
    if (found == object_->end() || found->is_null()) return nullptr;
    read_->insert(&*found);
    return &*found;
  };
  if (gguf()) return key.gguf.empty() ? nullptr : get(prefix_ + std::string(key.gguf));
  const Json* value = key.hugging_face.empty() ? nullptr : get(std::string(key.hugging_face));
  const Json* alias = key.alias.empty() ? nullptr : get(std::string(key.alias));
  return value == nullptr ? alias : value;
}

std::string Config::spelled(const Key& key) const {
  if (gguf()) return prefix_ + std::string(key.gguf);
  const bool by_alias = !key.alias.empty() &&
                        object_->find(std::string(key.hugging_face)) == object_->end() &&
                        object_->find(std::string(key.alias)) != object_->end();
  return std::string(by_alias ? key.alias : key.hugging_face);
}

void Config::fail(const Key& key, const std::string& message,
                  std::vector<std::string> notes) const {
  throw_input("'" + spelled(key) + "' " + message, where_, std::move(notes));
}

const Json& Config::required(const Key& key) const {
  const Json* value = find(key);
  if (value != nullptr) return *value;
  std::vector<std::string> names, notes;
  for (const auto& item : object_->items()) names.push_back(item.key());
  const auto near = base::nearest(spelled(key), names);
  if (!near.empty()) notes.push_back("nearest keys in the file: " + base::join(near));
  fail(key, "is missing", std::move(notes));
}

int64_t Config::whole(const Key& key, const Json& value, Range range) const {
  const auto [lowest, highest] = range;
  bool fits = false;
  int64_t number = 0;
  if (value.is_number_unsigned()) {
    fits = value.get<uint64_t>() <= static_cast<uint64_t>(highest);
    if (fits) number = static_cast<int64_t>(value.get<uint64_t>());
  } else if (value.is_number_integer()) {
    number = value.get<int64_t>();
    fits = number <= highest;
  } else if (value.is_number_float()) {  // some exporters write 4.0
    const double real_value = value.get<double>();
    fits = std::floor(real_value) == real_value &&
           std::abs(real_value) <= static_cast<double>(highest);
    if (fits) number = static_cast<int64_t>(real_value);
  }
  if (!fits || number < lowest) {
    fail(key, "must be a whole number from " + std::to_string(lowest) + " to " +
                  std::to_string(highest) + ", found " + shown(value));
  }
  return number;
}

double Config::real(const Key& key, const Json& value, double above) const {
  const double number = value.is_number() ? value.get<double>() : NAN;
  const auto in_f32 = static_cast<float>(number);  // as most of them are used
  if (!(std::isfinite(in_f32) && static_cast<double>(in_f32) > above)) {
    fail(key, "must be a number above " + shown(above) + ", found " + shown(value));
  }
  return number;
}

const Json& Config::one_of_layers(const Key& key, const Json& value) const {
  if (!gguf() || !value.is_array()) return value;
  const Json* one = nullptr;
  for (const Json& item : value) {
    if (!item.is_number() || item == 0) continue;
    if (one != nullptr && item != *one) {
      fail(key, "must be the same in all layers that have any, found " + shown(*one) + " and " +
                    shown(item));
    }
    one = &item;
  }
  return one == nullptr ? value : *one;
}

int Config::count(const Key& key, Range range) const {
  return static_cast<int>(whole(key, one_of_layers(key, required(key)), range));
}

int Config::count_or(const Key& key, int fallback, Range range) const {
  return has(key) ? count(key, range) : fallback;
}

int64_t Config::tokens(const Key& key) const {
  return whole(key, required(key), {.most = limits::context});
}

int64_t Config::tokens_or(const Key& key, int64_t fallback) const {
  return has(key) ? tokens(key) : fallback;
}

double Config::number(const Key& key, double above) const {
  return real(key, required(key), above);
}

double Config::number_or(const Key& key, double fallback, double above) const {
  return has(key) ? number(key, above) : fallback;
}

bool Config::flag_or(const Key& key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) fail(key, "must be true or false, found " + shown(*value));
  return value->get<bool>();
}

std::string Config::text_or(const Key& key, const std::string& fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) fail(key, "must be a text, found " + shown(*value));
  return value->get<std::string>();
}

std::set<int> Config::layers_or_empty(const Key& key) const {
  const Json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) fail(key, "must be a list of whole numbers, found " + shown(*value));
  std::set<int> out;
  for (const Json& item : *value)
    out.insert(static_cast<int>(whole(key, item, {.lowest = 0, .most = limits::layers})));
  return out;
}

Config Config::section(std::string_view key) const {
  const Json* value = find({key, {}});
  if (value != nullptr && !value->is_object()) {
    fail({key, {}}, "must be an object, found " + shown(*value));
  }
  Config out(naming_, value == nullptr ? empty_object() : *value,
             value == nullptr ? where_ : where_ + ": " + std::string(key));
  out.read_ = read_;
  return out;
}

std::vector<std::pair<std::string, const Json*>> Config::unread() const {
  std::vector<std::pair<std::string, const Json*>> out;
  const auto add = [&](const Json& object, const std::string& path, const auto& again) -> void {
    for (const auto& item : object.items()) {
      const Json& value = item.value();
      if (value.is_null() || !item.key().starts_with(prefix_)) continue;
      if (!read_->contains(&value)) {
        out.emplace_back(path + item.key(), &value);
      } else if (value.is_object() && !gguf()) {
        again(value, path + item.key() + ".", again);
      }
    }
  };
  add(*object_, "", add);
  return out;
}

}  // namespace ktx::model
