// Namespaces, loops, cyclers, joiners.
#include "text/jinja/objects.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"

namespace ktx::text::jinja {

namespace {

int checked_depth(const std::vector<Value>& items) {
  return list_of(items).depth() + 1;
}

template <class Made>
Made& made(Call& call) {
  return dynamic_cast<Made&>(call.subject.object());
}

Value loop_cycle(Call& call) {
  auto& loop = made<Loop>(call);
  const auto& items = call.rest.positional;
  if (items.empty()) call.fail("has no items to cycle through");
  return items[static_cast<size_t>(loop.attribute("index0")->integral()) % items.size()];
}

Value loop_changed(Call& call) {
  return made<Loop>(call).changed(call.rest.positional);
}

constexpr Builtin loop_methods[] = {{"cycle", "*", loop_cycle}, {"changed", "*", loop_changed}};

constexpr Builtin cycler_methods[] = {
    {"next", "", [](Call& call) { return made<Cycler>(call).next(); }},
    {"reset", "", [](Call& call) -> Value {
       made<Cycler>(call).reset();
       return {};
     }}};

}  // namespace

Namespace::Namespace(Dict values) {
  for (auto& [key, value] : values.items)
    if (key.is_string()) values_[key.bytes()] = std::move(value);
}

std::optional<Value> Namespace::attribute(std::string_view name) {
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

Loop::Loop(Options options, Budget& budget) : options_(std::move(options)), budget_(budget) {
  depth_ = checked_depth(options_.items);
}

std::optional<Value> Loop::take() {
  while (next_ < options_.items.size()) {
    const Value& item = options_.items[next_++];
    if (!options_.keep || options_.keep(item)) return item;
  }
  return std::nullopt;
}

const std::optional<Value>& Loop::peek() {
  if (!has_after_) after_ = take();
  has_after_ = true;
  return after_;
}

bool Loop::advance() {
  auto next = peek();
  has_after_ = false;
  if (!next) return false;
  ++index0_;
  before_ = std::move(current_);
  current_ = std::move(next);
  return true;
}

void Loop::finish() {
  options_.keep = nullptr;
  options_.recurse = nullptr;
}

// With a filter (`for ... if`), the length is known only after all items have been tested.
int64_t Loop::length() {
  if (!options_.length) {
    std::vector<Value> rest;
    const bool one_ahead = has_after_ && after_;
    while (auto item = take()) rest.push_back(*item);
    options_.length = rest.size() + static_cast<size_t>(index0_ + 1) + (one_ahead ? 1 : 0);
    options_.items = std::move(rest);
    options_.keep = nullptr;
    next_ = 0;
    if (has_after_ && !after_) has_after_ = false;
  }
  return static_cast<int64_t>(*options_.length);
}

std::optional<Value> Loop::attribute(std::string_view name) {
  if (name == "index") return index0_ + 1;
  if (name == "index0") return index0_;
  if (name == "first") return index0_ == 0;
  if (name == "last") return !peek().has_value();
  if (name == "length") return length();
  if (name == "revindex") return length() - index0_;
  if (name == "revindex0") return length() - index0_ - 1;
  if (name == "depth") return int64_t{options_.depth0} + 1;
  if (name == "depth0") return int64_t{options_.depth0};
  if (name == "previtem") return before_ ? *before_ : Undefined{"there is no previous item"};
  if (name == "nextitem") return peek() ? *peek() : Undefined{"there is no next item"};
  const Builtin* method = find_builtin(loop_methods, name);
  if (method == nullptr) return std::nullopt;
  // Not stored in the loop: the function holds it only during the call.
  return function_of(*method, Value(std::shared_ptr<Object>(shared_from_this())));
}

Value Loop::call(Evaluator&, Arguments arguments) {
  if (!options_.recurse)
    throw_input("the loop must have the 'recursive' marker to be called recursively");
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    throw_input("loop() takes one argument: the items of the next level");
  return options_.recurse(arguments.positional[0], options_.depth0 + 1);
}

bool Loop::changed(std::vector<Value> values) {
  const bool same = last_changed_ &&
                    std::ranges::equal(*last_changed_, values, [&](const Value& a, const Value& b) {
                      return equal(a, b, budget_);
                    });
  if (!same) last_changed_ = std::move(values);
  return !same;
}

Cycler::Cycler(std::vector<Value> items) : items_(std::move(items)) {
  if (items_.empty()) throw_input("cycler() has no items to cycle through");
  depth_ = checked_depth(items_);
}

std::optional<Value> Cycler::attribute(std::string_view name) {
  if (name == "current") return items_[at_];
  const Builtin* method = find_builtin(cycler_methods, name);
  if (method == nullptr) return std::nullopt;
  return function_of(*method, Value(std::shared_ptr<Object>(shared_from_this())));
}

Value Cycler::next() {
  const Value& item = items_[at_];
  at_ = (at_ + 1) % items_.size();
  return item;
}

Value Joiner::call(Evaluator&, Arguments) {
  if (!std::exchange(used_, true)) return Text();
  return separator_;
}

}  // namespace ktx::text::jinja
