// Functions that templates find by their names.
#include <array>
#include <ctime>

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/objects.hpp"

namespace ktx::text::jinja {

namespace {

Value range(Call& c) {
  const bool one = c.find(1) == nullptr;
  const int64_t start = one ? 0 : c.integer(0), stop = c.integer(one ? 0 : 1),
                step = c.integer(2, 1);
  if (step == 0) throw_input("range() arg 3 must not be zero");
  constexpr int64_t most = 100'000;  // as Jinja's sandbox has it
  std::vector<Value> items;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (static_cast<int64_t>(items.size()) == most)
      throw_input("range too big: the sandbox allows at most " + std::to_string(most) + " items");
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  c.budget.pay(items.size());
  std::string label = "range(" + std::to_string(start) + ", " + std::to_string(stop);
  if (step != 1) label += ", " + std::to_string(step);
  return List{.kind = List::Kind::range, .items = std::move(items), .label = label + ")"};
}

// dict(other, a=1): of a dict or of pairs, and named values.
Dict make_dict(Call& c) {
  Dict out;
  if (c.rest.positional.size() > 1) c.fail("expected at most 1 argument");
  for (const auto& from : c.rest.positional) {
    if (from.is_dict()) {
      out = from.dict();
      c.budget.pay(out.items.size());
      continue;
    }
    for (const auto& pair : iterate(from, c.budget)) {
      const auto parts = iterate(pair, c.budget);
      if (parts.size() != 2) c.fail("expects pairs of a key and a value");
      out.set(parts[0], parts[1], c.budget);
    }
  }
  for (const auto& [name, value] : c.rest.named) out.set(Text(name), value, c.budget);
  return out;
}

Value dict(Call& c) {
  return make_dict(c);
}

Value make_namespace(Call& c) {
  const auto space = std::make_shared<Namespace>(make_dict(c));
  c.evaluator.clear_at_end([space] { space->clear(); });
  return Value(std::shared_ptr<Object>(space));
}

Value cycler(Call& c) {
  return Value(std::shared_ptr<Object>(std::make_shared<Cycler>(c.rest.positional)));
}

Value joiner(Call& c) {
  const Value separator = c.find(0) != nullptr ? c.value(0) : Value(Text(", "));
  return Value(std::shared_ptr<Object>(std::make_shared<Joiner>(separator)));
}

Value raise_exception(Call& c) {
  throw_input(to_text(c.value(0), c.budget).bytes());
}

Value strftime_now(Call& c) {
  const std::string& format = c.text(0).bytes();
  const std::time_t now = c.evaluator.now();
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 4096> buffer{};
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  return Text(std::string(buffer.data(), size));
}

constexpr Builtin table[] = {
    {"cycler", "*", cycler},
    {"dict", "* **", dict},
    {"joiner", "sep?", joiner},
    {"namespace", "* **", make_namespace},
    {"range", "start stop? step?", range},
    {"raise_exception", "message", raise_exception},
    {"strftime_now", "format", strftime_now},
};

}  // namespace

std::span<const Builtin> global_functions() {
  return table;
}

}  // namespace ktx::text::jinja
