// Reading the settings, old and new.
#include "text/metaspace.hpp"

#include "core/base/error.hpp"
#include "text/fields.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

Metaspace read_metaspace(const Json& step, const std::string& where) {
  Metaspace made;
  made.mark = expect_string(required(step, "replacement", where), "replacement", where);
  const bool one_character = !made.mark.empty() && utf8_step(made.mark).kind == Utf8Step::valid &&
                             utf8_step(made.mark).size == made.mark.size();
  if (!one_character)
    throw_input("Metaspace: 'replacement' is '" + made.mark + "', expected one character", where);
  made.split = flag(step, "split", true, where);
  // Older files have add_prefix_space alone.
  if (!flag(step, "add_prefix_space", true, where)) made.prefix = Metaspace::never;
  if (const Json* scheme = member(step, "prepend_scheme")) {
    const std::string& name = expect_string(*scheme, "prepend_scheme", where);
    if (name != "always" && name != "first" && name != "never")
      throw_input("Metaspace: unknown prepend_scheme '" + name + "'", where,
                  {"valid: always, first, never"});
    made.prefix = name == "always"  ? Metaspace::always
                  : name == "first" ? Metaspace::first
                                    : Metaspace::never;
  }
  return made;
}

}  // namespace ktx::text
