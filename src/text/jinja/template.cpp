// Parsing and rendering.
#include "text/jinja/template.hpp"

#include "core/base/error.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/lexer.hpp"
#include "text/jinja/parser.hpp"

namespace ktx::text::jinja {

Template::Template(std::string_view source, std::string where)
    : where_(std::move(where)),
      bytes_(source.size()),
      tree_(std::make_shared<const Tree>(parse(source, where_))) {}

Text Template::render(const Dict& variables, std::optional<std::time_t> now) const {
  Evaluator evaluator(variables, now ? *now : std::time(nullptr), bytes_);
  try {
    return evaluator.render(*tree_);
  } catch (const Error& e) {
    if (e.category() != ErrorCategory::input) throw;
    const Position at = evaluator.position();
    throw_input(e.message(),
                where_ + ":" + std::to_string(at.line) + ":" + std::to_string(at.column),
                e.notes());
  }
}

}  // namespace ktx::text::jinja
