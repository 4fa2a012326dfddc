// Tests, which follow `is`.
#include <algorithm>

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/strings.hpp"

namespace ktx::text::jinja {

namespace {

template <CompareOp op>
Value compared(Call& c) {
  return compare(op, c.subject, c.value(0), c.budget);
}

template <int64_t rest>
Value parity(Call& c) {
  const Value remainder = binary(BinaryOp::modulo, c.subject, int64_t{2}, c.evaluator);
  return equal(remainder, rest, c.budget);
}

Value divisible_by(Call& c) {
  const Value rest = binary(BinaryOp::modulo, c.subject, c.value(0), c.evaluator);
  return equal(rest, int64_t{0}, c.budget);
}

template <Value::Kind kind>
Value is_kind(Call& c) {
  return c.subject.is(kind);
}

template <bool value>
Value is_constant(Call& c) {
  return c.subject.is(Value::Kind::boolean) && truth(c.subject) == value;
}

template <Case wanted>
Value has_case(Call& c) {
  return is_cased_as(to_text(c.subject, c.budget).bytes(), wanted);
}

Value is_iterable(Call& c) {
  const Value& v = c.subject;
  return v.is_string() || v.is_list() || v.is_dict() || v.is_undefined() ||
         (v.is_object() && v.object().type() == "LoopContext");
}

// Values with a length and items that are found by a key.
Value is_sequence(Call& c) {
  const Value& v = c.subject;
  return v.is_string() || v.is_dict() || v.is_undefined() ||
         (v.is_list() && v.list().kind <= List::Kind::range);
}

bool is_builtin(Call& c, std::initializer_list<std::span<const Builtin>> tables) {
  return c.subject.is_string() && std::ranges::any_of(tables, [&](auto table) {
           return find_builtin(table, c.subject.bytes()) != nullptr;
         });
}

// Objects by identity, everything else that has one value only.
Value is_same(Call& c) {
  const Value &a = c.subject, &b = c.value(0);
  return a.is_same(b) || (a.is_string() && b.is_string() && a.bytes() == b.bytes());
}

constexpr Builtin table[] = {
    {"boolean", "", is_kind<Value::Kind::boolean>},
    {"callable", "",
     [](Call& c) -> Value {
       return c.subject.is_undefined() ||
              (c.subject.is_object() && c.subject.object().is_callable());
     }},
    {"defined", "", [](Call& c) -> Value { return !c.subject.is_undefined(); }},
    {"divisibleby", "num", divisible_by},
    {"eq", "other", compared<CompareOp::equal>},
    {"equalto", "other", compared<CompareOp::equal>},
    {"==", "other", compared<CompareOp::equal>},
    {"escaped", "", [](Call&) -> Value { return false; }},
    {"even", "", parity<0>},
    {"odd", "", parity<1>},
    {"false", "", is_constant<false>},
    {"true", "", is_constant<true>},
    {"filter", "",
     [](Call& c) -> Value {
       return is_builtin(c, {text_filters(), list_filters()});
     }},
    {"test", "", [](Call& c) -> Value { return is_builtin(c, {tests()}); }},
    {"float", "", is_kind<Value::Kind::number>},
    {"integer", "", is_kind<Value::Kind::integer>},
    {"number", "", [](Call& c) -> Value { return c.subject.is_numeric(); }},
    {"ge", "other", compared<CompareOp::greater_equal>},
    {">=", "other", compared<CompareOp::greater_equal>},
    {"gt", "other", compared<CompareOp::greater>},
    {"greaterthan", "other", compared<CompareOp::greater>},
    {">", "other", compared<CompareOp::greater>},
    {"le", "other", compared<CompareOp::less_equal>},
    {"<=", "other", compared<CompareOp::less_equal>},
    {"lt", "other", compared<CompareOp::less>},
    {"lessthan", "other", compared<CompareOp::less>},
    {"<", "other", compared<CompareOp::less>},
    {"ne", "other", compared<CompareOp::not_equal>},
    {"!=", "other", compared<CompareOp::not_equal>},
    {"in", "seq", compared<CompareOp::in>},
    {"iterable", "", is_iterable},
    {"lower", "", has_case<Case::lower>},
    {"upper", "", has_case<Case::upper>},
    {"mapping", "", is_kind<Value::Kind::dict>},
    {"none", "", is_kind<Value::Kind::none>},
    {"sameas", "other", is_same},
    {"sequence", "", is_sequence},
    {"string", "", is_kind<Value::Kind::string>},
    {"undefined", "", is_kind<Value::Kind::undefined>},
};

}  // namespace

std::span<const Builtin> tests() {
  return table;
}

}  // namespace ktx::text::jinja
