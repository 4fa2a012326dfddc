// Values: making, comparing and going through them.
#include "text/jinja/value.hpp"

#include <algorithm>
#include <limits>

#include "core/base/error.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

int checked(int depth) {
  if (depth > max_depth)
    throw_input("a value is nested deeper than " + std::to_string(max_depth) + " levels");
  return depth;
}

bool equal_items(const List& a, const List& b, Budget& budget) {
  const bool sequences = a.kind == b.kind && a.kind != List::Kind::generator;
  return sequences && std::ranges::equal(a.items, b.items, [&](const Value& x, const Value& y) {
           return equal(x, y, budget);
         });
}

bool equal_items(const Dict& a, const Dict& b, Budget& budget) {
  return a.items.size() == b.items.size() && std::ranges::all_of(a.items, [&](const auto& item) {
           const Value* other = b.find(item.first, budget);
           return other != nullptr && equal(item.second, *other, budget);
         });
}

template <class T>
int order(const T& a, const T& b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

}  // namespace

std::optional<Value> Object::attribute(std::string_view) {
  return std::nullopt;
}

Value Object::call(Evaluator&, Arguments) {
  throw_input("'" + std::string(type()) + "' object is not callable");
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items)
    if (name.is_string() && name.bytes() == key) return &value;
  return nullptr;
}

const Value* Dict::find(const Value& key, Budget& budget) const {
  budget.pay(1 + items.size() / 8);
  if (key.is_string()) return find(key.bytes());
  if (key.is_dict() || (key.is_list() && key.list().kind == List::Kind::list))
    throw_input("unhashable type: '" + std::string(type_name(key)) + "'");
  for (const auto& [name, value] : items)
    if (equal(name, key, budget)) return &value;
  return nullptr;
}

void Dict::set(const Value& key, Value value, Budget& budget) {
  const Value* found = find(key, budget);
  if (found == nullptr) items.emplace_back(key, std::move(value));
  for (auto& [name, item] : items)
    if (&item == found) item = std::move(value);
}

Value::Value(List value) {
  int deepest = 0;
  for (const auto& item : value.items) deepest = std::max(deepest, item.depth());
  value.depth = checked(deepest + 1);
  data_ = std::make_shared<List>(std::move(value));
}

Value::Value(Dict value) {
  int deepest = 0;
  for (const auto& [key, item] : value.items)
    deepest = std::max({deepest, key.depth(), item.depth()});
  value.depth = checked(deepest + 1);
  data_ = std::make_shared<const Dict>(std::move(value));
}

int Value::depth() const noexcept {
  switch (kind()) {
    case Kind::list:
      return list().depth;
    case Kind::dict:
      return dict().depth;
    case Kind::object:
      return object().depth();
    default:
      return 0;
  }
}

int64_t Value::integral() const {
  return is(Kind::boolean) ? std::get<bool>(data_) : std::get<int64_t>(data_);
}

double Value::number() const {
  return is(Kind::number) ? std::get<double>(data_) : static_cast<double>(integral());
}

Value list_of(std::vector<Value> items, List::Kind kind) {
  return List{.kind = kind, .items = std::move(items)};
}

Value from_json(const Json& json, bool given) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<int64_t>();
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        throw_input("the number " + json.dump() + " has more than 64 bits");
      return json.get<int64_t>();
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string: {
      const auto& bytes = json.get_ref<const std::string&>();
      return given ? Text::given(bytes) : Text(bytes);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const auto& item : json) items.push_back(from_json(item, given));
      return list_of(std::move(items));
    }
    case Json::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items())
        dict.items.emplace_back(given ? Text::given(key) : Text(key), from_json(item, given));
      return dict;
    }
    default:
      return {};
  }
}

std::string_view type_name(const Value& value) {
  constexpr std::string_view lists[] = {"list",      "tuple",       "range",     "generator",
                                        "dict_keys", "dict_values", "dict_items"};
  switch (value.kind()) {
    case Value::Kind::none:
      return "NoneType";
    case Value::Kind::undefined:
      return "Undefined";
    case Value::Kind::boolean:
      return "bool";
    case Value::Kind::integer:
      return "int";
    case Value::Kind::number:
      return "float";
    case Value::Kind::string:
      return "str";
    case Value::Kind::list:
      return lists[static_cast<size_t>(value.list().kind)];
    case Value::Kind::dict:
      return "dict";
    case Value::Kind::object:
      break;
  }
  return value.object().type();
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::none:
    case Value::Kind::undefined:
      return false;
    case Value::Kind::boolean:
    case Value::Kind::integer:
      return value.integral() != 0;
    case Value::Kind::number:
      return value.number() != 0;
    case Value::Kind::list:
      return value.list().kind == List::Kind::generator || !value.list().items.empty();
    default:
      return length_of(value).value_or(1) != 0;
  }
}

std::optional<size_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
      return 0;
    case Value::Kind::string:
      return characters(value.bytes());
    case Value::Kind::list:
      if (value.list().kind == List::Kind::generator) return std::nullopt;
      return value.list().items.size();
    case Value::Kind::dict:
      return value.dict().items.size();
    default:
      return std::nullopt;
  }
}

std::vector<Value> iterate(const Value& value, Budget& budget) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (value.is_list()) {
    auto& list = value.list();
    budget.pay(list.items.size());
    if (list.kind != List::Kind::generator) return list.items;
    out.assign(list.items.begin() + static_cast<ptrdiff_t>(list.taken), list.items.end());
    list.taken = list.items.size();
  } else if (value.is_dict()) {
    budget.pay(value.dict().items.size());
    for (const auto& [key, item] : value.dict().items) out.push_back(key);
  } else if (value.is_string()) {
    budget.pay(4 * value.text().size());
    for (size_t at = 0; at < value.text().size();) {
      const size_t end = at + character_size(value.bytes(), at);
      out.emplace_back(value.text().slice(at, end));
      at = end;
    }
  } else {
    throw_input("'" + std::string(type_name(value)) + "' object is not iterable");
  }
  return out;
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.pay(1);
  if (a.is_numeric() && b.is_numeric())
    return a.is_integral() && b.is_integral() ? a.integral() == b.integral()
                                              : a.number() == b.number();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::none:
    case Value::Kind::undefined:
      return true;
    case Value::Kind::string:
      budget.pay_bytes(std::min(a.text().size(), b.text().size()));
      return a.bytes() == b.bytes();
    case Value::Kind::list:
      return a.is_same(b) || equal_items(a.list(), b.list(), budget);
    case Value::Kind::dict:
      return equal_items(a.dict(), b.dict(), budget);
    default:
      return a.is_same(b);
  }
}

int compare(const Value& a, const Value& b, std::string_view symbol, Budget& budget) {
  budget.pay(1);
  if (a.is_integral() && b.is_integral()) return order(a.integral(), b.integral());
  if (a.is_numeric() && b.is_numeric()) return order(a.number(), b.number());
  if (a.is_string() && b.is_string()) {
    budget.pay_bytes(std::min(a.text().size(), b.text().size()));
    return order(a.bytes().compare(b.bytes()), 0);
  }
  for (const Value* value : {&a, &b})
    if (value->is_undefined()) throw_input(value->undefined().message);
  if (!a.is_list() || !b.is_list() || a.list().kind != b.list().kind ||
      a.list().kind > List::Kind::tuple)
    throw_input("'" + std::string(symbol) + "' not supported between instances of '" +
                std::string(type_name(a)) + "' and '" + std::string(type_name(b)) + "'");
  const auto &x = a.list().items, &y = b.list().items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (!equal(x[i], y[i], budget)) return compare(x[i], y[i], symbol, budget);
  return order(x.size(), y.size());
}

}  // namespace ktx::text::jinja
