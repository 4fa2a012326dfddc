// Statements: output, branches, loops, assignments, macros.
#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/objects.hpp"

namespace ktx::text::jinja {

namespace {

ScopePtr scope_in(ScopePtr parent) {
  return std::make_shared<Scope>(Scope{.parent = std::move(parent), .names = {}});
}

class MacroObject : public Object {
 public:
  MacroObject(std::shared_ptr<const MacroDef> macro, ScopePtr around)
      : macro_(std::move(macro)), around_(std::move(around)) {}
  std::string_view type() const override { return "Macro"; }
  std::optional<Value> attribute(std::string_view name) override {
    if (name == "name") return Text(macro_->name);
    if (name != "arguments") return std::nullopt;
    std::vector<Value> names;
    for (const auto& parameter : macro_->parameters) names.emplace_back(Text(parameter.first));
    return list_of(std::move(names), List::Kind::tuple);
  }
  Value call(Evaluator& evaluator, Arguments arguments) override {
    return evaluator.call_macro(*macro_, around_, std::move(arguments));
  }

 private:
  std::shared_ptr<const MacroDef> macro_;
  ScopePtr around_;
};

// Removes and returns the named argument.
std::optional<Value> take_named(Arguments& arguments, std::string_view name) {
  const auto found = std::ranges::find(
      arguments.named, name, [](const auto& item) -> std::string_view { return item.first; });
  if (found == arguments.named.end()) return std::nullopt;
  Value value = std::move(found->second);
  arguments.named.erase(found);
  return value;
}

[[noreturn]] void refuse_arguments(const MacroDef& macro, const std::string& why) {
  throw_input("macro '" + macro.name + "' " + why);
}

}  // namespace

class Evaluator::Inner {
 public:
  Inner(Evaluator& evaluator, ScopePtr scope, Text* out = nullptr)
      : evaluator_(evaluator),
        scope_(std::exchange(evaluator.scope_, std::move(scope))),
        out_(evaluator.out_) {
    if (out != nullptr) evaluator.out_ = out;
  }
  ~Inner() {
    evaluator_.scope_ = std::move(scope_);
    evaluator_.out_ = out_;
  }
  Inner(const Inner&) = delete;
  Inner& operator=(const Inner&) = delete;

 private:
  Evaluator& evaluator_;
  ScopePtr scope_;
  Text* out_;
};

Text Evaluator::render(const Tree& tree) {
  Text out;
  const Inner inner(*this, scope_in(scope_), &out);
  run(tree.body);
  return out;
}

Evaluator::Flow Evaluator::run(const Body& body) {
  for (const Stmt& stmt : body)
    if (const Flow flow = run(stmt); flow != Flow::next) return flow;
  return Flow::next;
}

Evaluator::Flow Evaluator::run(const Stmt& stmt) {
  const Budget::Level level(budget_);
  budget_.pay(1);
  at_ = stmt.at;
  return std::visit([&](const auto& node) { return exec(node); }, stmt.node);
}

Evaluator::Flow Evaluator::exec(const Data& s) {
  budget_.pay_bytes(s.text.size());
  out_->append(s.text);
  return Flow::next;
}

void Evaluator::print(const Value& value) {
  if (value.is_string()) {
    budget_.pay_bytes(value.text().size());
    out_->append(value.text());
  } else {
    out_->append(to_text(value, budget_));
  }
}

Evaluator::Flow Evaluator::exec(const Output& s) {
  print(evaluate(*s.value));
  return Flow::next;
}

Evaluator::Flow Evaluator::exec(const If& s) {
  for (const auto& [condition, body] : s.branches)
    if (truth(evaluate(*condition))) return run(body);
  return run(s.otherwise);
}

Evaluator::Flow Evaluator::exec(const For& s) {
  const Value items = evaluate(*s.iterable);
  const ScopePtr around = scope_;  // scope_ changes while the loop runs
  run_loop(s, around, items, 0);
  return Flow::next;
}

void Evaluator::run_loop(const For& loop, const ScopePtr& around, const Value& items, int depth) {
  Loop::Options options{.items = iterate(items, budget_), .depth0 = depth};
  if (loop.condition == nullptr)
    options.length = options.items.size();
  else
    options.keep = [&](const Value& item) {
      const Inner inner(*this, scope_in(around));
      assign(loop.target, item);
      return truth(evaluate(*loop.condition));
    };
  if (loop.recursive)
    options.recurse = [this, &loop, around](const Value& next, int next_depth) {
      return call_loop(loop, around, next, next_depth);
    };
  const auto state = std::make_shared<Loop>(std::move(options), budget_);
  const struct Finish {
    Loop& loop;
    ~Finish() { loop.finish(); }
  } finish{*state};
  bool any = false;
  while (state->advance()) {
    budget_.pay(4);
    const Inner inner(*this, scope_in(around));
    scope_->names["loop"] = Value(std::shared_ptr<Object>(state));
    assign(loop.target, state->item());
    const Flow flow = run(loop.body);
    if (flow == Flow::break_loop) break;
    any |= flow == Flow::next;  // Jinja's `else` also runs if no iteration was completed
  }
  if (any) return;
  const Inner inner(*this, scope_in(around));
  run(loop.otherwise);
}

Value Evaluator::call_loop(const For& loop, const ScopePtr& around, const Value& items, int depth) {
  const Budget::Level level(budget_);
  Text out;
  const Inner inner(*this, around, &out);
  run_loop(loop, around, items, depth);
  return out;
}

void Evaluator::assign(const Target& target, const Value& value) {
  if (target.is_tuple) {
    const auto items = iterate(value, budget_);
    if (items.size() != target.items.size())
      throw_input("expected " + std::to_string(target.items.size()) + " values to unpack, found " +
                  std::to_string(items.size()));
    for (size_t i = 0; i < items.size(); ++i) assign(target.items[i], items[i]);
  } else if (target.attribute.empty()) {
    scope_->names[target.name] = value;
  } else {
    const Value* object = find(target.name);
    auto* space = object != nullptr && object->is_object()
                      ? dynamic_cast<Namespace*>(&object->object())
                      : nullptr;
    if (space == nullptr) throw_input("cannot assign attribute on non-namespace object");
    budget_.pay_bytes(target.attribute.size());
    space->set(target.attribute, value);
  }
}

Evaluator::Flow Evaluator::exec(const Set& s) {
  assign(s.target, evaluate(*s.value));
  return Flow::next;
}

Value Evaluator::filtered(ExprPtr filter, Text text) {
  const Value subject(std::move(text));
  if (filter == nullptr) return subject;
  const Value* outer = std::exchange(filter_subject_, &subject);
  const Value value = evaluate(*filter);
  filter_subject_ = outer;
  return value;
}

Evaluator::Flow Evaluator::exec(const SetBlock& s) {
  Text text;
  Flow flow = Flow::next;
  {
    const Inner inner(*this, scope_in(scope_), &text);
    flow = run(s.body);
  }
  if (flow == Flow::next) assign(s.target, filtered(s.filter, std::move(text)));
  return flow;
}

Evaluator::Flow Evaluator::exec(const With& s) {
  auto scope = scope_in(scope_);
  for (const auto& [target, expr] : s.values) {
    const Value value = evaluate(*expr);
    const Inner inner(*this, scope);
    assign(target, value);
  }
  const Inner inner(*this, std::move(scope));
  return run(s.body);
}

Evaluator::Flow Evaluator::exec(const FilterBlock& s) {
  Text text;
  Flow flow = Flow::next;
  {
    const Inner inner(*this, scope_in(scope_), &text);
    flow = run(s.body);
  }
  if (flow == Flow::next) print(filtered(s.filter, std::move(text)));
  return flow;
}

Evaluator::Flow Evaluator::exec(const Scoped& s) {
  const Inner inner(*this, scope_in(scope_));
  return run(s.body);
}

// The macro refers to its scope, and the scope may refer to the macro.
Value Evaluator::macro_value(std::shared_ptr<const MacroDef> macro) {
  clear_at_end([scope = scope_] { scope->names.clear(); });
  return Value(std::shared_ptr<Object>(std::make_shared<MacroObject>(std::move(macro), scope_)));
}

Evaluator::Flow Evaluator::exec(const Macro& s) {
  scope_->names[s.macro->name] = macro_value(s.macro);
  return Flow::next;
}

Evaluator::Flow Evaluator::exec(const CallBlock& s) {
  const auto& expr = std::get<CallExpr>(s.call->node);
  const Value callee = evaluate(*expr.callee);
  Arguments arguments = evaluate(expr.arguments);
  arguments.named.emplace_back("caller", macro_value(s.caller));
  at_ = s.call->at;
  print(call(callee, std::move(arguments)));
  return Flow::next;
}

Value Evaluator::call_macro(const MacroDef& macro, const ScopePtr& around, Arguments arguments) {
  const Budget::Level level(budget_);
  budget_.pay(8);
  Text out;
  const Inner inner(*this, scope_in(around), &out);
  auto& names = scope_->names;
  const size_t count = macro.parameters.size();
  auto& positional = arguments.positional;
  bool caller_given = false;
  for (size_t i = 0; i < count; ++i) {
    const auto& [name, otherwise] = macro.parameters[i];
    std::optional<Value> given;
    if (i < positional.size())
      given = positional[i];
    else
      given = take_named(arguments, name);
    caller_given |= name == "caller";
    if (given)
      names[name] = *given;
    else if (otherwise != nullptr)
      names[name] = evaluate(*otherwise);
    else
      names[name] = Undefined{"parameter '" + name + "' was not provided"};
  }
  if (macro.uses_caller && !caller_given) {
    const auto caller = take_named(arguments, "caller");
    names["caller"] = caller ? *caller : Undefined{"No caller defined"};
  }
  if (macro.uses_kwargs) {
    Dict named;
    for (auto& [name, value] : arguments.named)
      named.items.emplace_back(Text(name), std::move(value));
    names["kwargs"] = std::move(named);
  } else if (!arguments.named.empty()) {
    refuse_arguments(macro, "takes no keyword argument '" + arguments.named[0].first + "'");
  }
  if (macro.uses_varargs) {
    std::vector<Value> rest;
    for (size_t i = count; i < positional.size(); ++i) rest.push_back(positional[i]);
    names["varargs"] = list_of(std::move(rest), List::Kind::tuple);
  } else if (positional.size() > count) {
    refuse_arguments(macro, "takes not more than " + std::to_string(count) + " arguments");
  }
  run(macro.body);
  return out;
}

}  // namespace ktx::text::jinja
