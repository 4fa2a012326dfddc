// Arithmetic, comparison, membership, subscripts.
#include "text/jinja/operators.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/strings.hpp"

namespace ktx::text::jinja {

namespace {

std::string_view symbol_of(BinaryOp op) {
  constexpr std::string_view symbols[] = {"+", "-", "*", "/", "//", "%", "**"};
  return symbols[static_cast<size_t>(op)];
}

std::string_view symbol_of(CompareOp op) {
  constexpr std::string_view symbols[] = {"==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return symbols[static_cast<size_t>(op)];
}

void refuse_undefined(const Value& value) {
  if (value.is_undefined()) throw_input(value.undefined().message);
}

// By reference, because computing `overflow` writes `value`.
int64_t fitting(bool overflow, const int64_t& value) {
  if (overflow) throw_input("an integer has more than 64 bits");
  return value;
}

int64_t divisor(int64_t value) {
  if (value == 0) throw_input("division by zero");
  return value;
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    divisor(base);
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  if (base == 0 || base == 1) return exponent == 0 ? int64_t{1} : base;
  if (base == -1) return exponent % 2 == 0 ? int64_t{1} : int64_t{-1};
  int64_t out = 1;
  bool overflow = false;
  for (int64_t i = 0; i < exponent && !overflow; ++i)
    overflow = __builtin_mul_overflow(out, base, &out);
  return fitting(overflow, out);
}

Value integers(BinaryOp op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case BinaryOp::add:
      return fitting(__builtin_add_overflow(a, b, &out), out);
    case BinaryOp::subtract:
      return fitting(__builtin_sub_overflow(a, b, &out), out);
    case BinaryOp::multiply:
      return fitting(__builtin_mul_overflow(a, b, &out), out);
    case BinaryOp::divide:
      return static_cast<double>(a) / static_cast<double>(divisor(b));
    case BinaryOp::floor_divide:
      if (divisor(b) == -1) return fitting(__builtin_sub_overflow(int64_t{0}, a, &out), out);
      return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
    case BinaryOp::modulo:
      if (divisor(b) == -1) return int64_t{0};
      return a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
    case BinaryOp::power:
      return integer_power(a, b);
  }
  return {};
}

double float_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

Value floats(BinaryOp op, double a, double b) {
  const bool divides =
      op == BinaryOp::divide || op == BinaryOp::floor_divide || op == BinaryOp::modulo;
  if (divides && b == 0) throw_input("float division by zero");
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::subtract:
      return a - b;
    case BinaryOp::multiply:
      return a * b;
    case BinaryOp::divide:
      return a / b;
    case BinaryOp::floor_divide:
      return std::floor((a - float_modulo(a, b)) / b + 0.5);
    case BinaryOp::modulo:
      return float_modulo(a, b);
    case BinaryOp::power:
      break;
  }
  if ((a == 0 && b < 0) || (a < 0 && std::isfinite(b) && b != std::floor(b)))
    throw_input("a power that is no real number");
  const double out = std::pow(a, b);
  if (std::isinf(out) && std::isfinite(a) && std::isfinite(b))
    throw_input("a power that is too large");
  return out;
}

bool is_sequence(const Value& value) {
  return value.is_list() && value.list().kind <= List::Kind::tuple;
}

Value repeated_list(const List& list, int64_t times, Budget& budget) {
  std::vector<Value> items;
  if (times > 0 && !list.items.empty()) {
    budget.pay(static_cast<uint64_t>(std::min<int64_t>(times, 1 << 30)) * list.items.size());
    for (int64_t i = 0; i < times; ++i)
      items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return list_of(std::move(items), list.kind);
}

// Operations of texts and lists; nothing when there is none.
std::optional<Value> sequences(BinaryOp op, const Value& a, const Value& b, Evaluator& evaluator) {
  Budget& budget = evaluator.budget();
  if (op == BinaryOp::modulo && a.is_string()) return format_percent(a.text(), b, evaluator);
  if (op == BinaryOp::add && a.is_string() && b.is_string()) {
    budget.pay_bytes(a.text().size() + b.text().size());
    Text out = a.text();
    out.append(b.text());
    return out;
  }
  if (op == BinaryOp::add && is_sequence(a) && is_sequence(b) && a.list().kind == b.list().kind) {
    budget.pay(a.list().items.size() + b.list().items.size());
    std::vector<Value> items = a.list().items;
    items.insert(items.end(), b.list().items.begin(), b.list().items.end());
    return list_of(std::move(items), a.list().kind);
  }
  if (op == BinaryOp::multiply && b.is_integral() && (a.is_string() || is_sequence(a)))
    return a.is_string() ? Value(repeated(a.text(), b.integral(), budget))
                         : repeated_list(a.list(), b.integral(), budget);
  if (op == BinaryOp::multiply && a.is_integral() && (b.is_string() || is_sequence(b)))
    return sequences(op, b, a, evaluator);
  return std::nullopt;
}

// The items that a slice takes of `size`, in order.
struct SliceRange {
  int64_t first = 0, count = 0, step = 1;
};

SliceRange slice_range(const Value& start, const Value& stop, const Value& step, int64_t size) {
  SliceRange out;
  out.step = step.is_none() ? 1 : step.integral();
  if (out.step == 0) throw_input("slice step cannot be zero");
  const bool back = out.step < 0;
  const int64_t lowest = back ? -1 : 0, highest = back ? size - 1 : size;
  const auto bound = [&](const Value& value, int64_t otherwise) {
    if (value.is_none()) return otherwise;
    const int64_t at = value.integral();
    return std::clamp(at < 0 ? at + size : at, lowest, highest);
  };
  out.first = bound(start, back ? highest : lowest);
  const int64_t last = bound(stop, back ? lowest : highest);
  const int64_t span = back ? out.first - last : last - out.first;
  // A step larger than the size has the same effect as one of the size.
  out.step = std::clamp(out.step, -size - 1, size + 1);
  if (span > 0) out.count = (span - 1) / std::abs(out.step) + 1;
  return out;
}

}  // namespace

Value binary(BinaryOp op, const Value& left, const Value& right, Evaluator& evaluator) {
  if (left.is_integral() && right.is_integral())
    return integers(op, left.integral(), right.integral());
  if (left.is_numeric() && right.is_numeric()) return floats(op, left.number(), right.number());
  if (!(op == BinaryOp::modulo && left.is_string())) {
    refuse_undefined(left);
    refuse_undefined(right);
  }
  if (auto value = sequences(op, left, right, evaluator)) return *value;
  throw_input("unsupported operand types for " + std::string(symbol_of(op)) + ": '" +
              std::string(type_name(left)) + "' and '" + std::string(type_name(right)) + "'");
}

Value negative(const Value& value) {
  refuse_undefined(value);
  int64_t out = 0;
  if (value.is_integral())
    return fitting(__builtin_sub_overflow(int64_t{0}, value.integral(), &out), out);
  if (value.is_numeric()) return -value.number();
  throw_input("bad operand type for unary -: '" + std::string(type_name(value)) + "'");
}

Value positive(const Value& value) {
  refuse_undefined(value);
  if (value.is_integral()) return value.integral();
  if (value.is_numeric()) return value;
  throw_input("bad operand type for unary +: '" + std::string(type_name(value)) + "'");
}

bool compare(CompareOp op, const Value& left, const Value& right, Budget& budget) {
  switch (op) {
    case CompareOp::equal:
      return equal(left, right, budget);
    case CompareOp::not_equal:
      return !equal(left, right, budget);
    case CompareOp::in:
      return contains(right, left, budget);
    case CompareOp::not_in:
      return !contains(right, left, budget);
    default:
      break;
  }
  const int order = compare(left, right, symbol_of(op), budget);
  switch (op) {
    case CompareOp::less:
      return order < 0;
    case CompareOp::less_equal:
      return order <= 0;
    case CompareOp::greater:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (container.is_string()) {
    if (!item.is_string())
      throw_input("'in <string>' requires string as left operand, not " +
                  std::string(type_name(item)));
    budget.pay_bytes(container.text().size());
    return container.bytes().find(item.bytes()) != std::string::npos;
  }
  if (container.is_dict()) return container.dict().find(item, budget) != nullptr;
  if (container.is_list() || container.is_undefined())
    return std::ranges::any_of(iterate(container, budget),
                               [&](const Value& v) { return equal(v, item, budget); });
  throw_input("argument of type '" + std::string(type_name(container)) + "' is not iterable");
}

Value slice(const Value& value, const Value& start, const Value& stop, const Value& step,
            Budget& budget) {
  refuse_undefined(value);
  const bool is_text = value.is_string();
  for (const Value* bound : {&start, &stop, &step})
    if (!bound->is_none() && !bound->is_integral())
      throw_input("slice indices must be integers or None");
  if (!is_text && !(value.is_list() && value.list().kind <= List::Kind::range))
    throw_input("'" + std::string(type_name(value)) + "' object can't be sliced");
  std::vector<size_t> offsets;
  if (is_text) {
    budget.pay(value.text().size());
    offsets = character_offsets(value.bytes());
  }
  const auto size = is_text ? offsets.size() - 1 : value.list().items.size();
  const SliceRange range = slice_range(start, stop, step, static_cast<int64_t>(size));
  budget.pay(static_cast<uint64_t>(range.count));
  if (is_text && range.step == 1) {
    const auto first = static_cast<size_t>(range.first);
    return value.text().slice(offsets[first], offsets[first + static_cast<size_t>(range.count)]);
  }
  Text text;
  std::vector<Value> items;
  for (int64_t i = 0; i < range.count; ++i) {
    const auto at = static_cast<size_t>(range.first + i * range.step);
    if (is_text)
      text.append(value.text(), offsets[at], offsets[at + 1]);
    else
      items.push_back(value.list().items[at]);
  }
  if (is_text) return text;
  const bool is_tuple = value.list().kind == List::Kind::tuple;
  return list_of(std::move(items), is_tuple ? List::Kind::tuple : List::Kind::list);
}

std::optional<Value> subscript(const Value& value, const Value& key, Budget& budget) {
  if (value.is_dict()) {
    if (key.is_list() && key.list().kind == List::Kind::list) return std::nullopt;
    if (key.is_dict()) return std::nullopt;
    const Value* found = value.dict().find(key, budget);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  const bool is_list = value.is_list() && value.list().kind <= List::Kind::range;
  if (!key.is_integral() || !(is_list || value.is_string())) return std::nullopt;
  if (value.is_string()) budget.pay(1 + value.text().size() / 4);
  const auto size = static_cast<int64_t>(*length_of(value));
  const int64_t at = key.integral() < 0 ? key.integral() + size : key.integral();
  if (at < 0 || at >= size) return std::nullopt;
  if (is_list) return value.list().items[static_cast<size_t>(at)];
  return slice(value, at, at + 1, {}, budget);
}

}  // namespace ktx::text::jinja
