// Jinja's grammar of expressions, loosest operators first.
#include "text/jinja/expression_parser.hpp"

#include <algorithm>
#include <array>

namespace ktx::text::jinja {

namespace {

constexpr std::array<std::pair<std::string_view, CompareOp>, 6> comparisons{
    {{"==", CompareOp::equal},
     {"!=", CompareOp::not_equal},
     {"<", CompareOp::less},
     {"<=", CompareOp::less_equal},
     {">", CompareOp::greater},
     {">=", CompareOp::greater_equal}}};

std::string shown(const Token& token) {
  switch (token.kind) {
    case Token::Kind::end:
      return "the end of the template";
    case Token::Kind::data:
      return "text";
    case Token::Kind::integer:
      return std::to_string(token.integer);
    case Token::Kind::number:
      return float_repr(token.number);
    case Token::Kind::output_begin:
      return "'{{'";
    case Token::Kind::block_begin:
      return "'{%'";
    default:
      return "'" + token.text + "'";
  }
}

}  // namespace

ExpressionParser::Nesting::Nesting(ExpressionParser& parser) : parser_(parser) {
  if (parser.depth_ == max_depth)
    parser.fail("nested deeper than " + std::to_string(max_depth) + " levels");
  ++parser.depth_;
}

bool ExpressionParser::is_symbol(std::string_view text) const {
  return now().kind == Kind::symbol && now().text == text;
}
bool ExpressionParser::is_name(std::string_view text) const {
  return now().kind == Kind::name && now().text == text;
}
bool ExpressionParser::skip_symbol(std::string_view text) {
  return is_symbol(text) && (take(), true);
}
bool ExpressionParser::skip_name(std::string_view text) {
  return is_name(text) && (take(), true);
}
void ExpressionParser::expect_symbol(std::string_view text) {
  if (!skip_symbol(text)) fail_expected("'" + std::string(text) + "'");
}
std::string ExpressionParser::expect_name(std::string_view what) {
  if (now().kind != Kind::name) fail_expected(what);
  return take().text;
}
void ExpressionParser::fail_expected(std::string_view what) const {
  fail("expected " + std::string(what) + ", found " + shown(now()));
}

ExprPtr ExpressionParser::expression() {
  const Nesting nesting(*this);
  ExprPtr value = logical_or();
  for (Position at = now().at; skip_name("if"); at = now().at) {
    ExprPtr condition = logical_or();
    ExprPtr otherwise = skip_name("else") ? expression() : nullptr;
    value = make(at, Conditional{value, condition, otherwise});
  }
  return value;
}

ExprPtr ExpressionParser::plain_expression() {
  return logical_or();
}

ExprPtr ExpressionParser::tuple(bool conditional) {
  const Position at = now().at;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  for (;;) {
    if (now().kind == Kind::block_end || now().kind == Kind::output_end || is_symbol(")") ||
        (!conditional && is_name("recursive")))
      break;
    items.push_back(conditional ? expression() : plain_expression());
    if (!skip_symbol(",")) break;
    is_tuple = true;
  }
  if (items.empty()) fail_expected("an expression");
  return is_tuple ? make(at, ListDisplay{List::Kind::tuple, std::move(items)}) : items[0];
}

ExprPtr ExpressionParser::logical_or() {
  ExprPtr left = logical_and();
  for (Position at = now().at; skip_name("or"); at = now().at)
    left = make(at, Logical{false, left, logical_and()});
  return left;
}

ExprPtr ExpressionParser::logical_and() {
  ExprPtr left = logical_not();
  for (Position at = now().at; skip_name("and"); at = now().at)
    left = make(at, Logical{true, left, logical_not()});
  return left;
}

ExprPtr ExpressionParser::logical_not() {
  const Position at = now().at;
  if (!skip_name("not")) return comparison();
  const Nesting nesting(*this);
  return make(at, Unary{UnaryOp::logical_not, logical_not()});
}

ExprPtr ExpressionParser::comparison() {
  const Position at = now().at;
  Comparison chain{sum(), {}};
  for (;;) {
    const auto* found =
        std::ranges::find_if(comparisons, [&](const auto& row) { return is_symbol(row.first); });
    CompareOp op = CompareOp::in;
    if (found != comparisons.end()) {
      op = found->second;
    } else if (is_name("not") && following().kind == Kind::name && following().text == "in") {
      take();
      op = CompareOp::not_in;
    } else if (!is_name("in")) {
      break;
    }
    take();
    chain.rest.emplace_back(op, sum());
  }
  return chain.rest.empty() ? chain.first : make(at, std::move(chain));
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concatenation();
  for (;;) {
    const Position at = now().at;
    if (skip_symbol("+"))
      left = make(at, Binary{BinaryOp::add, left, concatenation()});
    else if (skip_symbol("-"))
      left = make(at, Binary{BinaryOp::subtract, left, concatenation()});
    else
      return left;
  }
}

ExprPtr ExpressionParser::concatenation() {
  const Position at = now().at;
  std::vector<ExprPtr> items{product()};
  while (skip_symbol("~")) items.push_back(product());
  return items.size() == 1 ? items[0] : make(at, Concatenation{std::move(items)});
}

ExprPtr ExpressionParser::product() {
  constexpr std::array<std::pair<std::string_view, BinaryOp>, 4> symbols{
      {{"*", BinaryOp::multiply},
       {"/", BinaryOp::divide},
       {"//", BinaryOp::floor_divide},
       {"%", BinaryOp::modulo}}};
  ExprPtr left = power();
  for (;;) {
    const auto* found =
        std::ranges::find_if(symbols, [&](const auto& row) { return is_symbol(row.first); });
    if (found == symbols.end()) return left;
    const Position at = take().at;
    left = make(at, Binary{found->second, left, power()});
  }
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = unary();
  for (Position at = now().at; skip_symbol("**"); at = now().at)
    left = make(at, Binary{BinaryOp::power, left, unary()});
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
  const Nesting nesting(*this);
  const Position at = now().at;
  ExprPtr expr = nullptr;
  if (skip_symbol("-"))
    expr = make(at, Unary{UnaryOp::negative, unary(false)});
  else if (skip_symbol("+"))
    expr = make(at, Unary{UnaryOp::positive, unary(false)});
  else
    expr = primary();
  expr = postfix(expr);
  return with_filters ? filters_and_tests(expr) : expr;
}

ExprPtr ExpressionParser::primary_with_postfix() {
  return postfix(primary());
}

ExprPtr ExpressionParser::primary() {
  const Position at = now().at;
  switch (now().kind) {
    case Kind::name:
      return name_or_constant();
    case Kind::string: {
      std::string text;
      while (now().kind == Kind::string) text += take().text;
      return make(at, Literal{Text(std::move(text))});
    }
    case Kind::integer:
      return make(at, Literal{take().integer});
    case Kind::number:
      return make(at, Literal{take().number});
    default:
      if (skip_symbol("(")) return parenthesized();
      if (skip_symbol("[")) return list();
      if (skip_symbol("{")) return dict();
      fail_expected("an expression");
  }
}

ExprPtr ExpressionParser::name_or_constant() {
  const Token token = take();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return make(token.at, Literal{true});
  if (name == "false" || name == "False") return make(token.at, Literal{false});
  if (name == "none" || name == "None") return make(token.at, Literal{});
  mentions_.caller |= name == "caller";
  mentions_.varargs |= name == "varargs";
  mentions_.kwargs |= name == "kwargs";
  return make(token.at, Name{name});
}

ExprPtr ExpressionParser::parenthesized() {
  const Position at = now().at;
  if (skip_symbol(")")) return make(at, ListDisplay{List::Kind::tuple, {}});
  ExprPtr inner = tuple();
  expect_symbol(")");
  return inner;
}

ExprPtr ExpressionParser::list() {
  const Position at = now().at;
  std::vector<ExprPtr> items;
  while (!is_symbol("]")) {
    items.push_back(expression());
    if (!skip_symbol(",")) break;
  }
  expect_symbol("]");
  return make(at, ListDisplay{List::Kind::list, std::move(items)});
}

ExprPtr ExpressionParser::dict() {
  const Position at = now().at;
  DictDisplay display;
  while (!is_symbol("}")) {
    ExprPtr key = expression();
    expect_symbol(":");
    display.items.emplace_back(key, expression());
    if (!skip_symbol(",")) break;
  }
  expect_symbol("}");
  return make(at, std::move(display));
}

ExprPtr ExpressionParser::postfix(ExprPtr expr) {
  for (;;) {
    const Position at = now().at;
    if (skip_symbol("."))
      expr = attribute(expr, at);
    else if (skip_symbol("["))
      expr = subscript(expr, at);
    else if (is_symbol("("))
      expr = make(at, CallExpr{expr, arguments()});
    else
      return expr;
  }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr expr) {
  for (;;) {
    const Position at = now().at;
    if (skip_symbol("|"))
      expr = filter(expr, at);
    else if (skip_name("is"))
      expr = test(expr, at);
    else if (is_symbol("("))  // calls the result of a filter or a test
      expr = make(at, CallExpr{expr, arguments()});
    else
      return expr;
  }
}

std::string ExpressionParser::dotted_name(std::string_view what) {
  std::string name = expect_name(what);
  while (skip_symbol(".")) name += "." + expect_name(what);
  return name;
}

ExprPtr ExpressionParser::filter(ExprPtr subject, Position at) {
  std::string name = dotted_name("the name of a filter");
  return make(at,
              FilterExpr{subject, std::move(name), is_symbol("(") ? arguments() : CallArguments{}});
}

ExprPtr ExpressionParser::filters(ExprPtr subject) {
  do subject = filter(subject, now().at);
  while (skip_symbol("|"));
  return subject;
}

ExprPtr ExpressionParser::test(ExprPtr subject, Position at) {
  const bool negated = skip_name("not");
  TestExpr test{subject, dotted_name("the name of a test"), {}};
  const bool starts_argument =
      (now().kind == Kind::name && !is_name("else") && !is_name("or") && !is_name("and")) ||
      now().kind == Kind::string || now().kind == Kind::integer || now().kind == Kind::number ||
      is_symbol("[") || is_symbol("{");
  if (is_symbol("(")) {
    test.arguments = arguments();
  } else if (starts_argument) {
    if (is_name("is")) fail("tests can't be chained with 'is'");
    test.arguments.positional.push_back(primary_with_postfix());
  }
  ExprPtr expr = make(at, std::move(test));
  return negated ? make(at, Unary{UnaryOp::logical_not, expr}) : expr;
}

ExprPtr ExpressionParser::attribute(ExprPtr object, Position at) {
  if (now().kind == Kind::name) return make(at, Attribute{object, take().text});
  if (now().kind != Kind::integer) fail_expected("a name or a number");
  ExprPtr key = make(now().at, Literal{now().integer});
  take();
  return make(at, Item{object, key});
}

ExprPtr ExpressionParser::subscript(ExprPtr object, Position at) {
  ExprPtr first = is_symbol(":") ? nullptr : subscript_key();
  if (!skip_symbol(":")) {
    expect_symbol("]");
    return make(at, Item{object, first});
  }
  Slice slice{object, first, nullptr, nullptr};
  if (!is_symbol(":") && !is_symbol("]")) slice.stop = expression();
  if (skip_symbol(":") && !is_symbol("]")) slice.step = expression();
  expect_symbol("]");
  return make(at, slice);
}

// One key, or a tuple of them.
ExprPtr ExpressionParser::subscript_key() {
  const Position at = now().at;
  ExprPtr first = expression();
  if (!is_symbol(",")) return first;
  std::vector<ExprPtr> items{first};
  while (skip_symbol(",") && !is_symbol("]")) items.push_back(expression());
  return make(at, ListDisplay{List::Kind::tuple, std::move(items)});
}

CallArguments ExpressionParser::arguments() {
  CallArguments out;
  expect_symbol("(");
  while (!is_symbol(")")) {
    const bool is_named =
        now().kind == Kind::name && following().kind == Kind::symbol && following().text == "=";
    if (skip_symbol("**")) {
      out.double_star = expression();
    } else if (out.star == nullptr && skip_symbol("*")) {
      out.star = expression();
    } else if (is_named) {
      std::string name = take().text;
      take();
      out.named.emplace_back(std::move(name), expression());
    } else {
      if (!out.named.empty() || out.star != nullptr || out.double_star != nullptr)
        fail("a positional argument after a named one");
      out.positional.push_back(expression());
    }
    if (!skip_symbol(",")) break;
  }
  expect_symbol(")");
  return out;
}

}  // namespace ktx::text::jinja
