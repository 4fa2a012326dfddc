// Parses the expressions of a template; the parser of its statements builds on it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.hpp"
#include "text/jinja/lexer.hpp"

namespace ktx::text::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const std::string& where, Tree& tree)
      : tokens_(std::move(tokens)), where_(where), tree_(tree) {}

  /// a if b else c
  ExprPtr expression();
  /// No conditional expression, for places where a following `if` means something else.
  ExprPtr plain_expression();
  /// One expression, or several with commas between: a tuple.
  ExprPtr tuple(bool conditional = true);
  /// name, name|filter|..., with the arguments of each; `subject` is null in filter blocks.
  ExprPtr filters(ExprPtr subject);
  /// A primary expression: a name, with attributes, subscripts and calls after it.
  ExprPtr primary_with_postfix();

 protected:
  using Kind = Token::Kind;

  /// Counts the levels of what is being parsed: deep ones would overflow the stack.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser);
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

  const Token& now() const { return tokens_[next_]; }
  const Token& following() const { return tokens_[std::min(next_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[next_ + 1 < tokens_.size() ? next_++ : next_]; }
  bool is_symbol(std::string_view text) const;
  bool is_name(std::string_view text) const;
  bool skip_symbol(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_symbol(std::string_view text);
  std::string expect_name(std::string_view what);
  [[noreturn]] void fail(std::string message) const { throw_at(where_, now().at, message); }
  [[noreturn]] void fail_expected(std::string_view what) const;

  template <class Node>
  ExprPtr make(Position at, Node node) {
    return &tree_.expressions.emplace_back(Expr{at, std::move(node)});
  }

  const std::vector<Token> tokens_;
  size_t next_ = 0;
  const std::string& where_;
  Tree& tree_;
  // Names that a macro receives only if its body mentions them.
  struct Mentions {
    bool caller = false, varargs = false, kwargs = false;
  } mentions_;

 private:
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters = true);
  ExprPtr primary();
  ExprPtr name_or_constant();
  ExprPtr parenthesized();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr expr);
  ExprPtr filters_and_tests(ExprPtr expr);
  ExprPtr filter(ExprPtr subject, Position at);
  ExprPtr test(ExprPtr subject, Position at);
  ExprPtr attribute(ExprPtr object, Position at);
  ExprPtr subscript(ExprPtr object, Position at);
  ExprPtr subscript_key();
  CallArguments arguments();
  std::string dotted_name(std::string_view what);

  int depth_ = 0;
};

}  // namespace ktx::text::jinja
