// Binding arguments to parameters, and finding a builtin by its name.
#include "text/jinja/builtins.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "text/jinja/evaluator.hpp"

namespace ktx::text::jinja {

namespace {

class Function : public Object {
 public:
  Function(const Builtin& builtin, Value subject)
      : builtin_(builtin), subject_(std::move(subject)) {}
  std::string_view type() const override { return "builtin_function_or_method"; }
  int depth() const override { return subject_.depth() + 1; }
  Value call(Evaluator& evaluator, Arguments arguments) override {
    Call call(evaluator, builtin_, subject_, std::move(arguments));
    return builtin_.run(call);
  }

 private:
  const Builtin& builtin_;
  const Value subject_;
};

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

const Builtin& named(std::initializer_list<std::span<const Builtin>> tables, std::string_view name,
                     const std::string& kind) {
  std::vector<std::string> names;
  for (const auto table : tables) {
    if (const Builtin* found = find_builtin(table, name)) return *found;
    for (const auto& row : table) names.emplace_back(row.name);
  }
  throw_input("no " + kind + " named '" + std::string(name) + "'", {},
              base::suggestions(name, names, kind + "s"));
}

// Steps that a function pays for going through a value.
uint64_t cost(const Value& value) {
  if (value.is_string()) return value.text().size() / 16;
  if (value.is_list()) return value.list().items.size();
  if (value.is_dict()) return value.dict().items.size();
  return 0;
}

}  // namespace

Call::Call(Evaluator& by, const Builtin& builtin, const Value& of, Arguments arguments)
    : evaluator(by), budget(by.budget()), subject(of), builtin_(builtin) {
  names_ = words(builtin.parameters);
  arguments_.resize(names_.size());
  budget.pay(2 + cost(subject));
  for (const auto& value : arguments.positional) budget.pay(1 + cost(value));
  bind(std::move(arguments));
}

void Call::bind(Arguments arguments) {
  given_ = std::move(arguments);
  size_t fixed = 0;
  bool takes_rest = false, takes_named = false;
  for (auto& name : names_) {
    takes_rest |= name == "*";
    takes_named |= name == "**";
    fixed += name[0] != '*' ? 1 : 0;
  }
  for (size_t i = 0; i < given_.positional.size(); ++i) {
    if (i < fixed)
      arguments_[i] = &given_.positional[i];
    else if (takes_rest)
      rest.positional.push_back(given_.positional[i]);
    else
      fail("takes at most " + std::to_string(fixed) + " arguments, found " +
           std::to_string(given_.positional.size()));
  }
  for (const auto& [name, value] : given_.named) {
    const auto found = std::ranges::find_if(names_, [&given = name](std::string_view n) {
      return n == given || (n.ends_with('?') && n.substr(0, n.size() - 1) == given);
    });
    if (found == names_.end() && !takes_named) fail("has no parameter '" + name + "'");
    if (found == names_.end()) {
      rest.named.emplace_back(name, value);
      continue;
    }
    auto& argument = arguments_[static_cast<size_t>(found - names_.begin())];
    if (argument != nullptr) fail("was given '" + name + "' twice");
    argument = &value;
  }
  for (size_t i = 0; i < fixed; ++i)
    if (arguments_[i] == nullptr && !names_[i].ends_with('?'))
      fail("is missing its argument '" + std::string(names_[i]) + "'");
}

void Call::fail(const std::string& message) const {
  throw_input(std::string(builtin_.name) + "() " + message);
}

int64_t Call::integer(size_t i) const {
  const Value& value = *arguments_[i];
  if (value.is_undefined()) throw_input(value.undefined().message);
  if (!value.is_integral())
    fail("expects an integer, found '" + std::string(type_name(value)) + "'");
  return value.integral();
}

int64_t Call::integer(size_t i, int64_t otherwise) const {
  return has(i) ? integer(i) : otherwise;
}

bool Call::flag(size_t i, bool otherwise) const {
  return arguments_[i] == nullptr ? otherwise : truth(*arguments_[i]);
}

const Text& Call::text(size_t i) const {
  const Value& value = *arguments_[i];
  if (value.is_undefined()) throw_input(value.undefined().message);
  if (!value.is_string()) fail("expects a string, found '" + std::string(type_name(value)) + "'");
  return value.text();
}

const Text& Call::subject_text() const {
  return subject.text();
}

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::ranges::find(table, name, &Builtin::name);
  return found == table.end() ? nullptr : &*found;
}

Value function_of(const Builtin& builtin, Value subject) {
  return Value(std::shared_ptr<Object>(std::make_shared<Function>(builtin, std::move(subject))));
}

const Builtin& filter_named(std::string_view name) {
  return named({text_filters(), list_filters()}, name, "filter");
}

const Builtin& test_named(std::string_view name) {
  return named({tests()}, name, "test");
}

}  // namespace ktx::text::jinja
