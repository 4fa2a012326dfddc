// JSON reading with errors that name file, line and column.
#include "core/base/json.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file.hpp"

namespace ktx::base {

namespace {

constexpr size_t max_depth = 1000;

// Builds a Json from parse events, as nlohmann's own builder does, but refuses repeated keys and
// deep nesting.
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
    const auto [member, fresh] = open_.back()->get_ref<Json::object_t&>().emplace(name, nullptr);
    if (!fresh) problem = "the key '" + name + "' is there twice";
    return fresh;
  }
  bool end_object() override { return close(); }
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
  bool add(Json value) {
    slot() = std::move(value);
    return true;
  }
  bool open(Json container) {
    if (open_.size() == max_depth) {
      problem = "nested deeper than " + std::to_string(max_depth) + " levels";
      return false;
    }
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
};

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
  return parse_json(read_text(file), file.string());
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ktx::base
