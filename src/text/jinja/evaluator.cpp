// Expressions: names, attributes, calls, operators.
#include "text/jinja/evaluator.hpp"

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"
#include "text/jinja/operators.hpp"

namespace ktx::text::jinja {

namespace {

// The size of a value in bytes and items, on which the budget of a rendering depends.
size_t weight(const Value& value) {
  size_t sum = 16;
  if (value.is_string()) sum += value.text().size();
  if (value.is_list())
    for (const auto& item : value.list().items) sum += weight(item);
  if (value.is_dict())
    for (const auto& [key, item] : value.dict().items) sum += weight(key) + weight(item);
  return sum;
}

size_t weight(const Dict& variables) {
  size_t sum = 0;
  for (const auto& [name, value] : variables.items) sum += weight(value);
  return sum;
}

ScopePtr scope_of(const Dict& variables) {
  auto globals = std::make_shared<Scope>();
  for (const auto& row : global_functions()) globals->names.emplace(row.name, function_of(row));
  auto scope = std::make_shared<Scope>(Scope{.parent = std::move(globals), .names = {}});
  for (const auto& [name, value] : variables.items) scope->names[name.bytes()] = value;
  return scope;
}

// A value's name as in Jinja's messages.
std::string described(const Value& value) {
  if (value.is_none()) return "'None'";
  return "'" + std::string(type_name(value)) + " object'";
}

std::span<const Builtin> methods_of(const Value& value) {
  if (value.is_string()) return string_methods();
  if (value.is_dict()) return dict_methods();
  if (value.is_list() && value.list().kind <= List::Kind::range) return list_methods();
  return {};
}

}  // namespace

Evaluator::Evaluator(const Dict& variables, std::time_t now, size_t template_bytes)
    : budget_(template_bytes + weight(variables)), now_(now), scope_(scope_of(variables)) {}

Evaluator::~Evaluator() {
  for (auto& clear : clear_at_end_) clear();
}

void Evaluator::clear_at_end(std::function<void()> clear) {
  budget_.pay(16);
  clear_at_end_.push_back(std::move(clear));
}

const Value* Evaluator::find(const std::string& name) const {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    const auto found = scope->names.find(name);
    if (found != scope->names.end()) return &found->second;
  }
  return nullptr;
}

std::optional<Value> Evaluator::own_attribute(const Value& value, const std::string& name) {
  if (value.is_undefined()) throw_input(value.undefined().message);
  if (value.is_object()) return value.object().attribute(name);
  if (value.is_list() && value.list().label == group_label)
    if (name == "grouper" || name == "list") return value.list().items[name == "list" ? 1 : 0];
  const Builtin* method = find_builtin(methods_of(value), name);
  if (method == nullptr) return std::nullopt;
  return function_of(*method, value);
}

Value Evaluator::attribute(const Value& value, const std::string& name) {
  if (auto own = own_attribute(value, name)) return *own;
  if (value.is_dict())
    if (const Value* found = value.dict().find(name)) return *found;
  return Undefined{described(value) + " has no attribute '" + name + "'"};
}

Value Evaluator::item(const Value& value, const Value& key) {
  if (value.is_undefined()) throw_input(value.undefined().message);
  if (auto found = subscript(value, key, budget_)) return *found;
  if (key.is_string()) {
    if (auto own = own_attribute(value, key.bytes())) return *own;
    return Undefined{described(value) + " has no attribute '" + key.bytes() + "'"};
  }
  return Undefined{described(value) + " has no element " + to_repr(key, budget_).bytes()};
}

Value Evaluator::filter(std::string_view name, const Value& subject, Arguments arguments) {
  const Builtin& row = filter_named(name);
  Call call(*this, row, subject, std::move(arguments));
  return row.run(call);
}

bool Evaluator::test(std::string_view name, const Value& subject, Arguments arguments) {
  const Builtin& row = test_named(name);
  Call call(*this, row, subject, std::move(arguments));
  return truth(row.run(call));
}

Value Evaluator::call(const Value& callee, Arguments arguments) {
  if (callee.is_undefined()) throw_input(callee.undefined().message);
  if (!callee.is_object())
    throw_input("'" + std::string(type_name(callee)) + "' object is not callable");
  return callee.object().call(*this, std::move(arguments));
}

Value Evaluator::evaluate(const Expr& expr) {
  const Budget::Level level(budget_);
  budget_.pay(1);
  at_ = expr.at;
  return std::visit([&](const auto& node) { return eval(node, expr.at); }, expr.node);
}

Value Evaluator::eval(const Literal& e, Position) {
  return e.value;
}

Value Evaluator::eval(const Name& e, Position) {
  const Value* found = find(e.name);
  return found == nullptr ? Undefined{"'" + e.name + "' is undefined"} : *found;
}

Value Evaluator::eval(const ListDisplay& e, Position at) {
  std::vector<Value> items;
  items.reserve(e.items.size());
  for (const Expr* item : e.items) items.push_back(evaluate(*item));
  at_ = at;
  return list_of(std::move(items), e.kind);
}

Value Evaluator::eval(const DictDisplay& e, Position at) {
  Dict dict;
  for (const auto& [key_expr, value_expr] : e.items) {
    const Value key = evaluate(*key_expr);
    Value value = evaluate(*value_expr);
    at_ = at;
    dict.set(key, std::move(value), budget_);
  }
  return dict;
}

Value Evaluator::eval(const Attribute& e, Position at) {
  const Value object = evaluate(*e.object);
  at_ = at;
  return attribute(object, e.name);
}

Value Evaluator::eval(const Item& e, Position at) {
  const Value object = evaluate(*e.object);
  const Value key = evaluate(*e.key);
  at_ = at;
  return item(object, key);
}

Value Evaluator::eval(const Slice& e, Position at) {
  const Value object = evaluate(*e.object);
  const Value start = evaluate_optional(e.start), stop = evaluate_optional(e.stop),
              step = evaluate_optional(e.step);
  at_ = at;
  return slice(object, start, stop, step, budget_);
}

Arguments Evaluator::evaluate(const CallArguments& arguments) {
  Arguments out;
  for (const Expr* e : arguments.positional) out.positional.push_back(evaluate(*e));
  for (const auto& [name, e] : arguments.named) out.named.emplace_back(name, evaluate(*e));
  if (arguments.star != nullptr)
    for (auto& value : iterate(evaluate(*arguments.star), budget_))
      out.positional.push_back(std::move(value));
  if (arguments.double_star == nullptr) return out;
  const Value named = evaluate(*arguments.double_star);
  if (!named.is_dict())
    throw_input("argument after ** must be a mapping, not " + std::string(type_name(named)));
  budget_.pay(named.dict().items.size());
  for (const auto& [name, value] : named.dict().items) {
    if (!name.is_string()) throw_input("keywords must be strings");
    out.named.emplace_back(name.bytes(), value);
  }
  return out;
}

Value Evaluator::eval(const CallExpr& e, Position at) {
  const Value callee = evaluate(*e.callee);
  Arguments arguments = evaluate(e.arguments);
  at_ = at;
  return call(callee, std::move(arguments));
}

Value Evaluator::eval(const FilterExpr& e, Position at) {
  const Value subject = e.subject == nullptr ? *filter_subject_ : evaluate(*e.subject);
  Arguments arguments = evaluate(e.arguments);
  at_ = at;
  return filter(e.name, subject, std::move(arguments));
}

Value Evaluator::eval(const TestExpr& e, Position at) {
  const Value subject = evaluate(*e.subject);
  Arguments arguments = evaluate(e.arguments);
  at_ = at;
  return test(e.name, subject, std::move(arguments));
}

Value Evaluator::eval(const Unary& e, Position at) {
  const Value operand = evaluate(*e.operand);
  at_ = at;
  switch (e.op) {
    case UnaryOp::negative:
      return negative(operand);
    case UnaryOp::positive:
      return positive(operand);
    case UnaryOp::logical_not:
      break;
  }
  return !truth(operand);
}

Value Evaluator::eval(const Binary& e, Position at) {
  const Value left = evaluate(*e.left), right = evaluate(*e.right);
  at_ = at;
  return binary(e.op, left, right, *this);
}

Value Evaluator::eval(const Logical& e, Position) {
  Value left = evaluate(*e.left);
  return truth(left) == e.is_and ? evaluate(*e.right) : left;
}

Value Evaluator::eval(const Comparison& e, Position at) {
  Value left = evaluate(*e.first);
  for (const auto& [op, expr] : e.rest) {
    Value right = evaluate(*expr);
    at_ = at;
    if (!compare(op, left, right, budget_)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::eval(const Concatenation& e, Position at) {
  Text out;
  for (const Expr* item : e.items) {
    const Value value = evaluate(*item);
    at_ = at;
    out.append(to_text(value, budget_));
  }
  return out;
}

Value Evaluator::eval(const Conditional& e, Position) {
  if (truth(evaluate(*e.condition))) return evaluate(*e.then);
  if (e.otherwise != nullptr) return evaluate(*e.otherwise);
  return Undefined{"the inline if-expression evaluated to false and no else section was defined"};
}

}  // namespace ktx::text::jinja
