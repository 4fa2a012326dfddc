// JSON reading with errors that name file, line and column.
#include "core/base/json.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/limits.hpp"
#include "core/base/stand_in.hpp"

namespace ktx::base {

namespace {

constexpr size_t max_depth = 1000;

// A key that the object has twice, or null. Sorting takes hostile keys no longer than others.
const std::string* repeated_key(const Json& object) {
  std::vector<const std::string*> keys;
  for (const auto& [key, value] : object.get_ref<const Json::object_t&>()) keys.push_back(&key);
  const auto key = [](const std::string* k) -> const std::string& { return *k; };
  std::ranges::sort(keys, {}, key);
  const auto found = std::ranges::adjacent_find(keys, {}, key);
  return found == keys.end() ? nullptr : *found;
}

// Builds a Json from parse events, as nlohmann's own builder does, but refuses repeated keys,
// deep nesting and more values than any file has.
class Builder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool key(string_t& name) override {
    append(*open_.back(), std::move(name), nullptr);
    return true;
  }
  bool end_object() override {
    if (const std::string* key = repeated_key(*open_.back())) {
      problem = "the key '" + *key + "' occurs twice";
      return false;
    }
    return close();
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    error_position = position;
    return false;
  }

  Json root;
  std::string problem;        // of valid JSON; empty: a syntax error at error_position
  size_t error_position = 0;  // bytes read, the wrong one included

 private:
  // A container stays where it is while it is open: its parent grows only after it was closed.
  Json& slot() {
    if (open_.empty()) return root;
    Json& parent = *open_.back();
    if (parent.is_object()) return parent.get_ref<Json::object_t&>().back().second;
    parent.push_back(nullptr);
    return parent.back();
  }
  bool is_one_too_many() {
    if (++values_ <= limits::values) return false;
    problem = "more than " + std::to_string(limits::values) + " values";
    return true;
  }
  bool add(Json value) {
    if (is_one_too_many()) return false;
    slot() = std::move(value);
    return true;
  }
  bool open(Json container) {
    if (open_.size() == max_depth) {
      problem = "nested deeper than " + std::to_string(max_depth) + " levels";
      return false;
    }
    if (is_one_too_many()) return false;
    Json& place = slot();
    place = std::move(container);
    open_.push_back(&place);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<Json*> open_;
  int64_t values_ = 0;
};

// Python writes NaN and Infinity as they are. As texts they are no numbers to who asks for one.
std::string with_quoted_non_numbers(std::string_view text) {
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < text.size();) {
    size_t size = 1;
    if (quoted && text[i] == '\\') {
      size = std::min<size_t>(2, text.size() - i);
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted) {
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"})
        if (text.substr(i).starts_with(word)) size = word.size();
    }
    const std::string mark = size > 2 ? "\"" : "";
    out.append(mark).append(text.substr(i, size)).append(mark);
    i += size;
  }
  return out;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  Builder builder;
  if (Json::sax_parse(text, &builder)) return std::move(builder.root);
  if (!builder.problem.empty()) throw_input("not valid JSON: " + builder.problem, where);
  const size_t at = std::min(std::max<size_t>(builder.error_position, 1) - 1, text.size());
  const auto before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  throw_input("not valid JSON",
              where + ":" + std::to_string(line) + ":" + std::to_string(at - start + 1));
}

Json read_json(const std::filesystem::path& file) {
  const std::string text = read_text(file);
  if (const auto instead = stand_in(text)) throw_input(*instead, file.string());
  if (text.find("NaN") == std::string::npos && text.find("Infinity") == std::string::npos)
    return parse_json(text, file.string());
  return parse_json(with_quoted_non_numbers(text), file.string());
}

void append(Json& object, std::string key, Json value) {
  object.get_ref<Json::object_t&>().emplace_back(std::move(key), std::move(value));
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ktx::base
