// Values of templates, with the types and the behavior that Python's have there.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/json.hpp"
#include "text/jinja/budget.hpp"
#include "text/jinja/text.hpp"

namespace ktx::text::jinja {

class Evaluator;
class Value;
struct Arguments;

/// Something that has attributes or can be called: functions, macros, `loop`, namespaces.
class Object : public std::enable_shared_from_this<Object> {
 public:
  virtual ~Object() = default;
  virtual std::string_view type() const = 0;  // as Python names it
  virtual std::optional<Value> attribute(std::string_view name);
  /// Throws input error when it can't be called.
  virtual Value call(Evaluator& evaluator, Arguments arguments);
  virtual bool is_callable() const { return true; }
  /// The depth of nesting of the values it contains.
  virtual int depth() const { return 0; }
};

/// The value of an undefined name: empty and false, but an error in arithmetic.
struct Undefined {
  std::string message;  // of that error
};

/// Immutable, except that generators are consumed.
struct List {
  enum class Kind { list, tuple, range, generator, keys, values, items };
  Kind kind = Kind::list;
  std::vector<Value> items;
  std::string label;  // how a range prints itself
  size_t taken = 0;   // items of a generator that have been consumed
  int depth = 1;
};

/// In order of insertion, keys searched one by one. Immutable.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;

  /// The value of a key, or null.
  const Value* find(std::string_view key) const;
  const Value* find(const Value& key, Budget& budget) const;
  /// During construction: the value of a key, which may exist already.
  void set(const Value& key, Value value, Budget& budget);
};

/// The label of a tuple that |groupby made: it has .grouper and .list.
constexpr std::string_view group_label = "group";

class Value {
 public:
  enum class Kind { none, undefined, boolean, integer, number, string, list, dict, object };

  Value() = default;  // None
  template <std::same_as<bool> T>
  Value(T value) : data_(value) {}  // NOLINT: these conversions are what it is for
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(Text value) : data_(std::make_shared<const Text>(std::move(value))) {}
  Value(Undefined value) : data_(std::make_shared<const Undefined>(std::move(value))) {}
  Value(std::shared_ptr<Object> value) : data_(std::move(value)) {}
  /// Throw input error when they are nested too deep.
  Value(List value);
  Value(Dict value);

  Kind kind() const noexcept { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind) const noexcept { return this->kind() == kind; }
  bool is_none() const noexcept { return is(Kind::none); }
  bool is_undefined() const noexcept { return is(Kind::undefined); }
  bool is_string() const noexcept { return is(Kind::string); }
  bool is_list() const noexcept { return is(Kind::list); }
  bool is_dict() const noexcept { return is(Kind::dict); }
  bool is_object() const noexcept { return is(Kind::object); }
  /// True, False and whole numbers: what Python counts as int.
  bool is_integral() const noexcept { return is(Kind::boolean) || is(Kind::integer); }
  bool is_numeric() const noexcept { return is_integral() || is(Kind::number); }

  /// Of a value of that kind.
  int64_t integral() const;  // is_integral()
  double number() const;     // is_numeric()
  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(data_); }
  const std::string& bytes() const { return text().bytes(); }
  List& list() const { return *std::get<std::shared_ptr<List>>(data_); }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Object& object() const { return *std::get<std::shared_ptr<Object>>(data_); }
  const Undefined& undefined() const { return *std::get<std::shared_ptr<const Undefined>>(data_); }

  int depth() const noexcept;
  /// Whether they are the same object, as with Python's `is`.
  bool is_same(const Value& other) const noexcept { return data_ == other.data_; }

 private:
  std::variant<std::monostate, std::shared_ptr<const Undefined>, bool, int64_t, double,
               std::shared_ptr<const Text>, std::shared_ptr<List>, std::shared_ptr<const Dict>,
               std::shared_ptr<Object>>
      data_;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

Value list_of(std::vector<Value> items, List::Kind kind = List::Kind::list);

/// Strings of `json` become texts that are given, or the template's own.
Value from_json(const Json& json, bool given);

/// "int", "str", "NoneType": Python's name of the value's type.
std::string_view type_name(const Value& value);
bool truth(const Value& value);
/// Number of items or characters; nothing for what has no length.
std::optional<size_t> length_of(const Value& value);

/// The items of a loop over the value: the characters of a text, the keys of a dict. A generator is
/// consumed. Throws input error if the value is not iterable.
std::vector<Value> iterate(const Value& value, Budget& budget);

bool equal(const Value& a, const Value& b, Budget& budget);
/// -1, 0 or 1. Throws input error, naming the operator `symbol`, for values that have no order.
int compare(const Value& a, const Value& b, std::string_view symbol, Budget& budget);

/// As str(), repr() and json.dumps() would have it.
Text to_text(const Value& value, Budget& budget);
Text to_repr(const Value& value, Budget& budget);
std::string float_repr(double value);

}  // namespace ktx::text::jinja
