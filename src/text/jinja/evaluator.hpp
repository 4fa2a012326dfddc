// Evaluates a template's tree.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/name_map.hpp"
#include "text/jinja/ast.hpp"
#include "text/jinja/budget.hpp"

namespace ktx::text::jinja {

/// The names of a block and, through `parent`, of the blocks around it.
struct Scope {
  std::shared_ptr<Scope> parent;
  base::NameMap<Value> names;
};
using ScopePtr = std::shared_ptr<Scope>;

/// One rendering of one template.
class Evaluator {
 public:
  /// `variables`: the names defined for the template; `now`: the time that strftime_now returns.
  Evaluator(const Dict& variables, std::time_t now, size_t template_bytes);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  /// Throws input error; position() then says where in the template.
  Text render(const Tree& tree);
  Position position() const noexcept { return at_; }

  Budget& budget() noexcept { return budget_; }
  std::time_t now() const noexcept { return now_; }

  /// value.name and value[key]; undefined when there is no such thing.
  Value attribute(const Value& value, const std::string& name);
  Value item(const Value& value, const Value& key);
  /// A method of the value, or an attribute of an object, but no item.
  std::optional<Value> own_attribute(const Value& value, const std::string& name);

  Value filter(std::string_view name, const Value& subject, Arguments arguments);
  bool test(std::string_view name, const Value& subject, Arguments arguments);
  Value call(const Value& callee, Arguments arguments);
  Value call_macro(const MacroDef& macro, const ScopePtr& around, Arguments arguments);
  /// Renders a recursive loop's body once more, over other items.
  Value call_loop(const For& loop, const ScopePtr& around, const Value& items, int depth);

  /// Objects that may contain themselves; their contents are dropped when rendering ends.
  void clear_at_end(std::function<void()> clear);

 private:
  enum class Flow { next, break_loop, continue_loop };
  class Inner;  // enters a scope and an output of its own for its lifetime

  Value evaluate(const Expr& expr);
  Value evaluate_optional(ExprPtr expr) { return expr == nullptr ? Value() : evaluate(*expr); }
  Value eval(const Literal& e, Position at);
  Value eval(const Name& e, Position at);
  Value eval(const ListDisplay& e, Position at);
  Value eval(const DictDisplay& e, Position at);
  Value eval(const Attribute& e, Position at);
  Value eval(const Item& e, Position at);
  Value eval(const Slice& e, Position at);
  Value eval(const CallExpr& e, Position at);
  Value eval(const FilterExpr& e, Position at);
  Value eval(const TestExpr& e, Position at);
  Value eval(const Unary& e, Position at);
  Value eval(const Binary& e, Position at);
  Value eval(const Logical& e, Position at);
  Value eval(const Comparison& e, Position at);
  Value eval(const Concatenation& e, Position at);
  Value eval(const Conditional& e, Position at);
  Arguments evaluate(const CallArguments& arguments);
  Value filtered(ExprPtr filter, Text text);

  Flow run(const Body& body);
  Flow run(const Stmt& stmt);
  Flow exec(const Data& s);
  Flow exec(const Output& s);
  Flow exec(const If& s);
  Flow exec(const For& s);
  Flow exec(const Set& s);
  Flow exec(const SetBlock& s);
  Flow exec(const With& s);
  Flow exec(const FilterBlock& s);
  Flow exec(const Macro& s);
  Flow exec(const CallBlock& s);
  Flow exec(const Scoped& s);
  Flow exec(const Break&) { return Flow::break_loop; }
  Flow exec(const Continue&) { return Flow::continue_loop; }
  void run_loop(const For& loop, const ScopePtr& around, const Value& items, int depth);
  void assign(const Target& target, const Value& value);
  void print(const Value& value);
  const Value* find(const std::string& name) const;
  Value macro_value(std::shared_ptr<const MacroDef> macro);

  Budget budget_;
  const std::time_t now_;
  Position at_;  // of what is being evaluated
  ScopePtr scope_;
  Text* out_ = nullptr;
  const Value* filter_subject_ = nullptr;  // the input of a FilterExpr without a subject
  std::vector<std::function<void()>> clear_at_end_;
};

}  // namespace ktx::text::jinja
