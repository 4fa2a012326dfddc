// The statements of a template.
#include "text/jinja/parser.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/text.hpp"
#include "text/jinja/expression_parser.hpp"

namespace ktx::text::jinja {

namespace {

using Ends = std::initializer_list<std::string_view>;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body whole() {
    Body body;
    statements(body, {});
    return body;
  }

 private:
  // Parses up to the tag that begins with one of `ends`, and consumes its name.
  std::string statements(Body& body, Ends ends) {
    const Nesting nesting(*this);
    for (;;) {
      const Position at = now().at;
      if (now().kind == Kind::end) {
        if (ends.size() == 0) return {};
        fail_expected("'{% " + std::string(*(ends.end() - 1)) + " %}'");
      } else if (now().kind == Kind::data) {
        body.push_back({at, Data{Text(take().text)}});
      } else if (now().kind == Kind::output_begin) {
        take();
        body.push_back({at, Output{tuple()}});
        if (now().kind != Kind::output_end) fail_expected("'}}'");
        take();
      } else {
        take();
        const std::string name = now().text;
        if (now().kind == Kind::name && std::ranges::find(ends, name) != ends.end())
          return take().text;
        body.push_back(statement(at, ends));
      }
    }
  }

  void end_tag() {
    if (now().kind != Kind::block_end) fail_expected("'%}'");
    take();
  }

  Body body_until(std::string_view end) {
    end_tag();
    Body body;
    statements(body, {end});
    end_tag();
    return body;
  }

  Stmt statement(Position at, Ends ends) {
    struct Row {
      std::string_view name;
      Stmt (Parser::*parse)(Position);
    };
    static constexpr std::array<Row, 12> rows{{{"if", &Parser::if_block},
                                               {"for", &Parser::for_block},
                                               {"set", &Parser::set},
                                               {"macro", &Parser::macro},
                                               {"call", &Parser::call_block},
                                               {"with", &Parser::with},
                                               {"filter", &Parser::filter_block},
                                               {"block", &Parser::block},
                                               {"generation", &Parser::generation},
                                               {"print", &Parser::print},
                                               {"break", &Parser::break_loop},
                                               {"continue", &Parser::continue_loop}}};
    const std::string name = now().text;
    const auto* row =
        now().kind == Kind::name ? std::ranges::find(rows, name, &Row::name) : rows.end();
    if (row == rows.end()) {
      std::vector<std::string> names;
      for (const auto& r : rows) names.emplace_back(r.name);
      for (const auto end : ends) names.emplace_back(end);
      throw_at(where_, now().at,
               "unknown tag '" + name + "'; expected one of " + base::join(names));
    }
    take();
    return (this->*row->parse)(at);
  }

  Stmt if_block(Position at) {
    If out;
    for (std::string end = "elif"; end != "endif";) {
      if (end == "else") {
        end_tag();
        end = statements(out.otherwise, {"endif"});
        continue;
      }
      ExprPtr condition = tuple(false);
      end_tag();
      Body body;
      end = statements(body, {"elif", "else", "endif"});
      out.branches.emplace_back(condition, std::move(body));
    }
    end_tag();
    return {at, std::move(out)};
  }

  Stmt for_block(Position at) {
    For out;
    out.target = target();
    if (!skip_name("in")) fail_expected("'in'");
    out.iterable = tuple(false);
    if (skip_name("if")) out.condition = expression();
    out.recursive = skip_name("recursive");
    if (declares(out.target, "loop")) fail("'loop' is the loop's own: it can't be assigned to");
    end_tag();
    ++loops_;
    std::string end = statements(out.body, {"else", "endfor"});
    --loops_;
    if (end == "else") {
      end_tag();
      statements(out.otherwise, {"endfor"});
    }
    end_tag();
    return {at, std::move(out)};
  }

  static bool declares(const Target& target, std::string_view name) {
    return target.name == name || std::ranges::any_of(target.items, [&](const Target& item) {
             return declares(item, name);
           });
  }

  Target single_target() {
    const Nesting nesting(*this);
    Target out{.at = now().at};
    if (skip_symbol("(")) {
      out = target();
      expect_symbol(")");
      return out;
    }
    out.name = expect_name("a name to assign to");
    constexpr std::array<std::string_view, 6> constants{"true",  "True", "false",
                                                        "False", "none", "None"};
    if (std::ranges::find(constants, out.name) != constants.end())
      throw_at(where_, out.at, "'" + out.name + "' can't be assigned to");
    if (skip_symbol(".")) out.attribute = expect_name("the name of an attribute");
    return out;
  }

  Target target() {
    Target first = single_target();
    if (!is_symbol(",")) return first;
    Target out{.at = first.at, .is_tuple = true};
    out.items.push_back(std::move(first));
    while (skip_symbol(",") && (now().kind == Kind::name || is_symbol("(")) && !is_name("in"))
      out.items.push_back(single_target());
    return out;
  }

  Stmt set(Position at) {
    Target to = target();
    if (skip_symbol("=")) {
      ExprPtr value = tuple();
      end_tag();
      return {at, Set{std::move(to), value}};
    }
    ExprPtr filter = skip_symbol("|") ? filters(nullptr) : nullptr;
    return {at, SetBlock{std::move(to), filter, body_until("endset")}};
  }

  // "(a, b=1)", and the body up to `end`.
  std::shared_ptr<const MacroDef> macro_def(std::string name, std::string_view end) {
    auto out = std::make_shared<MacroDef>();
    out->name = std::move(name);
    if (skip_symbol("(")) parameters(*out);
    const Mentions outside = std::exchange(mentions_, {});
    const int loops = std::exchange(loops_, 0);
    out->body = body_until(end);
    loops_ = loops;
    out->uses_caller = mentions_.caller;
    out->uses_varargs = mentions_.varargs;
    out->uses_kwargs = mentions_.kwargs;
    mentions_.caller |= outside.caller;
    mentions_.varargs |= outside.varargs;
    mentions_.kwargs |= outside.kwargs;
    return out;
  }

  void parameters(MacroDef& macro) {
    while (!is_symbol(")")) {
      std::string name = expect_name("the name of a parameter");
      ExprPtr otherwise = skip_symbol("=") ? expression() : nullptr;
      if (otherwise == nullptr && !macro.parameters.empty() &&
          macro.parameters.back().second != nullptr)
        fail("a parameter without a default after one that has one");
      macro.parameters.emplace_back(std::move(name), otherwise);
      if (!skip_symbol(",")) break;
    }
    expect_symbol(")");
  }

  Stmt macro(Position at) {
    std::string name = expect_name("the name of a macro");
    if (!is_symbol("(")) fail_expected("'('");
    return {at, Macro{macro_def(std::move(name), "endmacro")}};
  }

  // {% call(a, b) macro(...) %}: the caller's parameters come first.
  Stmt call_block(Position at) {
    auto head = std::make_shared<MacroDef>();
    if (skip_symbol("(")) parameters(*head);
    ExprPtr call = expression();
    if (!std::holds_alternative<CallExpr>(call->node))
      throw_at(where_, call->at, "expected a call");
    auto caller = std::const_pointer_cast<MacroDef>(macro_def("caller", "endcall"));
    caller->parameters = std::move(head->parameters);
    return {at, CallBlock{std::move(caller), call}};
  }

  Stmt with(Position at) {
    With out;
    while (now().kind != Kind::block_end) {
      Target to = single_target();
      expect_symbol("=");
      out.values.emplace_back(std::move(to), expression());
      if (!skip_symbol(",")) break;
    }
    out.body = body_until("endwith");
    return {at, std::move(out)};
  }

  Stmt filter_block(Position at) {
    ExprPtr filter = filters(nullptr);
    return {at, FilterBlock{filter, body_until("endfilter")}};
  }

  Stmt block(Position at) {
    const std::string name = expect_name("the name of a block");
    Scoped out{body_until_named("endblock", name)};
    return {at, std::move(out)};
  }

  Body body_until_named(std::string_view end, const std::string& name) {
    end_tag();
    Body body;
    statements(body, {end});
    skip_name(name);
    end_tag();
    return body;
  }

  Stmt generation(Position at) { return {at, Scoped{body_until("endgeneration")}}; }

  Stmt print(Position at) {
    std::vector<ExprPtr> items;  // printed one after the other
    do items.push_back(expression());
    while (skip_symbol(","));
    end_tag();
    return {at, Output{make(at, Concatenation{std::move(items)})}};
  }

  template <class Node>
  Stmt loop_control(Position at) {
    if (loops_ == 0) throw_at(where_, at, "outside of a loop");
    end_tag();
    return {at, Node{}};
  }
  Stmt break_loop(Position at) { return loop_control<Break>(at); }
  Stmt continue_loop(Position at) { return loop_control<Continue>(at); }

  int loops_ = 0;  // around what is being parsed, inside of the same macro
};

}  // namespace

Tree parse(std::string_view source, const std::string& where) {
  Tree tree;
  Parser parser(tokenize(source, where), where, tree);
  tree.body = parser.whole();
  return tree;
}

}  // namespace ktx::text::jinja
