// The syntax tree of a template.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/value.hpp"

namespace ktx::text::jinja {

struct Position {
  int line = 1, column = 1;
};

struct Expr;
struct Stmt;
using ExprPtr = const Expr*;  // of the tree; null where an optional part is absent
using Body = std::vector<Stmt>;

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct ListDisplay {
  List::Kind kind;  // list or tuple
  std::vector<ExprPtr> items;
};
struct DictDisplay {
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};
struct Attribute {
  ExprPtr object = nullptr;
  std::string name;
};
struct Item {
  ExprPtr object = nullptr, key = nullptr;
};
struct Slice {
  ExprPtr object = nullptr, start = nullptr, stop = nullptr, step = nullptr;
};
struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star = nullptr, double_star = nullptr;  // *list, **dict
};
struct CallExpr {
  ExprPtr callee = nullptr;
  CallArguments arguments;
};
struct FilterExpr {
  ExprPtr subject = nullptr;  // null: the content of a filter block or a set block
  std::string name;
  CallArguments arguments;
};
struct TestExpr {
  ExprPtr subject = nullptr;
  std::string name;
  CallArguments arguments;
};
enum class UnaryOp { negative, positive, logical_not };
struct Unary {
  UnaryOp op;
  ExprPtr operand = nullptr;
};
enum class BinaryOp { add, subtract, multiply, divide, floor_divide, modulo, power };
struct Binary {
  BinaryOp op;
  ExprPtr left = nullptr, right = nullptr;
};
struct Logical {
  bool is_and;
  ExprPtr left = nullptr, right = nullptr;
};
enum class CompareOp { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };
struct Comparison {
  ExprPtr first = nullptr;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;  // a < b < c
};
struct Concatenation {
  std::vector<ExprPtr> items;  // a ~ b ~ c
};
struct Conditional {
  ExprPtr then = nullptr, condition = nullptr, otherwise = nullptr;
};

struct Expr {
  Position at;
  std::variant<Literal, Name, ListDisplay, DictDisplay, Attribute, Item, Slice, CallExpr,
               FilterExpr, TestExpr, Unary, Binary, Logical, Comparison, Concatenation, Conditional>
      node;
};

/// What is assigned to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  Position at;
  std::string name, attribute;
  std::vector<Target> items;
  bool is_tuple = false;
};

struct Data {
  Text text;
};
struct Output {
  ExprPtr value = nullptr;
};
struct If {
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExprPtr iterable = nullptr, condition = nullptr;
  bool recursive = false;
  Body body, otherwise;
};
struct Set {
  Target target;
  ExprPtr value = nullptr;
};
/// {% set x %}...{% endset %}, its text through filters, if any.
struct SetBlock {
  Target target;
  ExprPtr filter = nullptr;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExprPtr>> values;
  Body body;
};
struct FilterBlock {
  ExprPtr filter = nullptr;
  Body body;
};
/// The parameters and the body of a macro, and of a call block's caller.
struct MacroDef {
  std::string name;
  std::vector<std::pair<std::string, ExprPtr>> parameters;  // with their defaults
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};
struct Macro {
  std::shared_ptr<const MacroDef> macro;
};
struct CallBlock {
  std::shared_ptr<const MacroDef> caller;
  ExprPtr call = nullptr;
};
/// A body of its own scope: {% block %}, {% generation %}.
struct Scoped {
  Body body;
};
struct Break {};
struct Continue {};

struct Stmt {
  Position at;
  std::variant<Data, Output, If, For, Set, SetBlock, With, FilterBlock, Macro, CallBlock, Scoped,
               Break, Continue>
      node;
};

/// A template, parsed. Expressions lie side by side, so that taking down a deep one does not
/// recurse.
struct Tree {
  std::deque<Expr> expressions;
  Body body;
};

}  // namespace ktx::text::jinja
