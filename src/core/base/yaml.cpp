// YAML through yaml-cpp, copied into ktx's own tree so that no other file sees yaml-cpp.
#include "core/base/yaml.hpp"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/base/text.hpp"

namespace ktx::base {

namespace {

constexpr int max_depth = 64;
constexpr size_t most_shown = 80;  // bytes of a text in a message

std::string position(const std::string& file, const YAML::Mark& mark) {
  if (mark.is_null()) return file;
  return file + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
}

// Copies the tree. Aliases are expanded, so a small text can stand for a huge tree: what a node
// costs is taken from a budget.
class Converter {
 public:
  explicit Converter(const std::string& file) : file_(file) {}

  Yaml convert(const YAML::Node& node, int depth) {
    Yaml out;
    out.where = position(file_, node.Mark());
    if (depth > max_depth) throw_input("YAML nested deeper than 64 levels", out.where);
    charge(node, out.where);
    check_tag(node.Tag(), out.where);
    if (node.IsScalar()) {
      out.kind = YamlKind::scalar;
      out.scalar = node.Scalar();
      out.quoted = node.Tag() == "!";
    } else if (node.IsSequence()) {
      out.kind = YamlKind::sequence;
      for (const auto& item : node) out.items.push_back(convert(item, depth + 1));
    } else if (node.IsMap()) {
      out.kind = YamlKind::map;
      convert_entries(node, out, depth);
    }
    return out;
  }

 private:
  void convert_entries(const YAML::Node& node, Yaml& out, int depth) {
    std::map<std::string, std::string> seen;  // and where
    for (const auto& entry : node) {
      Yaml key = convert(entry.first, depth + 1);
      if (key.kind != YamlKind::scalar) throw_input("a key must be a plain word", key.where);
      const auto [first, is_new] = seen.emplace(key.scalar, key.where);
      if (!is_new)
        throw_input("key '" + key.scalar + "' is given twice", key.where,
                    {"the first is at " + first->second});
      Yaml value = convert(entry.second, depth + 1);
      // An empty value has no position of its own in yaml-cpp.
      if (value.kind == YamlKind::null) value.where = key.where;
      out.entries.emplace_back(std::move(key), std::move(value));
    }
  }

  // yaml-cpp gives "?" to plain and "!" to quoted scalars.
  static void check_tag(const std::string& tag, const std::string& where) {
    if (!tag.empty() && tag != "?" && tag != "!")
      throw_input("expected a plain YAML value, found the tag '" + tag + "'", where);
  }

  void charge(const YAML::Node& node, const std::string& where) {
    const size_t cost = 1 + (node.IsScalar() ? node.Scalar().size() / 64 : 0);
    if (cost > budget_)
      throw_input("YAML larger than a million nodes (of 64 characters), its aliases expanded",
                  where);
    budget_ -= cost;
  }

  const std::string& file_;
  size_t budget_ = 1'000'000;
};

// Where a document begins; nothing else of it.
class DocumentStart : public YAML::EventHandler {
 public:
  const YAML::Mark& mark() const noexcept { return mark_; }

  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  YAML::Mark mark_;
};

// What begins no document (a comma) yaml-cpp never gets past: it finds empty documents there
// without end. So a second one is looked for, and no third.
void check_one_document(const std::string& text, const std::string& file) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStart start;
  if (!parser.HandleNextDocument(start) || !parser.HandleNextDocument(start)) return;
  const size_t begin = std::min(static_cast<size_t>(std::max(0, start.mark().pos)), text.size());
  const auto line = text.substr(begin, text.find('\n', begin) - begin);
  throw_input("expected one YAML document and nothing after it, found '" +
                  shortened(line, most_shown) + "'",
              position(file, start.mark()));
}

// What people mean who write such YAML.
std::vector<std::string> hints(const std::string& text, const YAML::Exception& e) {
  if (e.msg.starts_with("unknown escape character"))
    return {
        "a backslash between double quotes begins an escape; between single quotes it is "
        "itself: '\\.experts$'"};
  if (e.msg.starts_with("illegal map value"))
    return {"keys of one map begin in the same column; a text that has ': ' in it needs quotes"};
  if (e.msg.starts_with("end of map flow") || e.msg.starts_with("end of sequence flow"))
    return {"a { or [ before it is not closed"};
  std::istringstream lines(text);
  std::string line;
  for (int i = 0; i <= e.mark.line; ++i)
    if (!std::getline(lines, line)) line.clear();
  const size_t word = line.find_first_not_of(" \t");
  if (line.substr(0, word).find('\t') != std::string::npos)
    return {"the line begins with a tab; YAML is indented with spaces"};
  return {};
}

[[noreturn]] void wrong(const Yaml& node, std::string_view what, const char* expected,
                        std::vector<std::string> notes = {}) {
  throw_input(std::string(what) + ": expected " + expected + ", found " + node.describe(),
              node.where, std::move(notes));
}

// 16k and 16K, which YAML knows for no numbers.
std::vector<std::string> thousands(const std::string& text) {
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto rest = std::string_view(text).substr(static_cast<size_t>(stop - text.data()));
  if (error != std::errc{} || (rest != "k" && rest != "K") || value < 1 || value > 1'000'000)
    return {};
  return {"did you mean " + std::to_string(value * 1024) + "?"};
}

}  // namespace

Yaml::Yaml() = default;

const Yaml* Yaml::find(std::string_view key) const noexcept {
  for (const auto& [k, v] : entries)
    if (k.scalar == key) return &v;
  return nullptr;
}

std::string Yaml::describe() const {
  switch (kind) {
    case YamlKind::scalar:
      return "'" + shortened(scalar, most_shown) + "'";
    case YamlKind::sequence:
      return "a list";
    case YamlKind::map:
      return "a map";
    case YamlKind::null:
      break;
  }
  return "nothing";
}

const std::string& Yaml::as_string(std::string_view what) const {
  if (kind != YamlKind::scalar) wrong(*this, what, "a text");
  return scalar;
}

int64_t Yaml::as_int(std::string_view what) const {
  int64_t value = 0;
  const char* end = scalar.data() + scalar.size();
  if (kind != YamlKind::scalar || scalar.empty()) wrong(*this, what, "a whole number");
  const auto [stop, error] = std::from_chars(scalar.data(), end, value);
  if (error != std::errc{} || stop != end) wrong(*this, what, "a whole number", thousands(scalar));
  return value;
}

double Yaml::as_double(std::string_view what) const {
  double value = 0;
  const char* end = scalar.data() + scalar.size();
  if (kind != YamlKind::scalar || scalar.empty()) wrong(*this, what, "a number");
  const auto [stop, error] = std::from_chars(scalar.data(), end, value);
  if (error != std::errc{} || stop != end || !std::isfinite(value)) wrong(*this, what, "a number");
  return value;
}

bool Yaml::as_bool(std::string_view what) const {
  constexpr std::string_view yes[] = {"true", "True", "TRUE", "yes"};
  constexpr std::string_view no[] = {"false", "False", "FALSE", "no"};
  if (kind == YamlKind::scalar && std::ranges::count(yes, scalar) > 0) return true;
  if (kind == YamlKind::scalar && std::ranges::count(no, scalar) > 0) return false;
  wrong(*this, what, "true or false");
}

const std::vector<Yaml>& Yaml::as_sequence(std::string_view what) const {
  if (kind != YamlKind::sequence) wrong(*this, what, "a list");
  return items;
}

const std::vector<std::pair<Yaml, Yaml>>& Yaml::as_map(std::string_view what) const {
  if (kind != YamlKind::map) wrong(*this, what, "a map");
  return entries;
}

Yaml parse_yaml(const std::string& text, const std::string& file) {
  try {
    check_one_document(text, file);
    return Converter(file).convert(YAML::Load(text), 0);
  } catch (const YAML::DeepRecursion& e) {  // its text is "bad file"
    throw_input("YAML nested too deeply", position(file, e.mark));
  } catch (const YAML::Exception& e) {
    throw_input("not valid YAML: " + e.msg, position(file, e.mark), hints(text, e));
  }
}

std::string yaml_quoted(const std::string& text) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < ' '; };
  if (std::ranges::any_of(text, control)) return dump_json(text);  // YAML's double quotes
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

Yaml read_yaml(const std::filesystem::path& file) {
  return parse_yaml(read_text(file), file.string());
}

}  // namespace ktx::base
