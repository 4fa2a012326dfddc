// Filters of lists and dicts.
#include <algorithm>
#include <functional>

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/strings.hpp"

namespace ktx::text::jinja {

namespace {

using Items = std::vector<Value>;

Value generator(Items items) {
  return list_of(std::move(items), List::Kind::generator);
}

Value without_case(const Value& value) {
  return value.is_string() ? Value(with_case(value.text(), Case::lower)) : value;
}

// The keys of "a.b.0", one after the other.
Items attribute_path(const Value& attribute) {
  if (!attribute.is_string()) return {attribute};
  const std::string dot = ".";
  Items path;
  for (const Text& part : split(attribute.text(), {.separator = &dot})) {
    if (all_are(part.bytes(), CharacterClass::decimal) && part.size() < 10)
      path.emplace_back(int64_t{std::stoi(part.bytes())});
    else
      path.emplace_back(part);
  }
  return path;
}

// The attribute of an item that an `attribute=` argument names; without one the item itself.
class Getter {
 public:
  Getter(Call& call, const Value* attribute, const Value* otherwise = nullptr)
      : evaluator_(call.evaluator), otherwise_(otherwise) {
    if (attribute != nullptr && !attribute->is_none()) path_ = attribute_path(*attribute);
    if (otherwise_ != nullptr && otherwise_->is_none()) otherwise_ = nullptr;
  }
  Value operator()(Value item) const {
    for (const auto& key : path_) {
      item = evaluator_.item(item, key);
      if (otherwise_ != nullptr && item.is_undefined()) item = *otherwise_;
    }
    return item;
  }

 private:
  Evaluator& evaluator_;
  const Value* otherwise_;
  Items path_;
};

Value batch(Call& c) {
  const int64_t size = c.integer(0);
  Items out, row;
  const auto flush = [&] { out.push_back(list_of(std::exchange(row, {}))); };
  for (auto& item : iterate(c.subject, c.budget)) {
    if (static_cast<int64_t>(row.size()) == size) flush();
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    if (c.has(1))
      for (; static_cast<int64_t>(row.size()) < size; c.budget.pay(1)) row.push_back(c.value(1));
    flush();
  }
  return generator(std::move(out));
}

Value slice_columns(Call& c) {
  const int64_t columns = c.integer(0);
  const Items items = iterate(c.subject, c.budget);
  if (columns < 1) c.fail("expects one slice at least");
  c.budget.pay(static_cast<uint64_t>(columns));
  const size_t count = static_cast<size_t>(columns), each = items.size() / count,
               longer = items.size() % count;
  Items out;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t end = at + each + (i < longer ? 1 : 0);
    Items part(items.begin() + static_cast<ptrdiff_t>(at),
               items.begin() + static_cast<ptrdiff_t>(end));
    if (c.has(1) && i >= longer) part.push_back(c.value(1));
    out.push_back(list_of(std::move(part)));
    at = end;
  }
  return generator(std::move(out));
}

Value length(Call& c) {
  if (c.subject.is_string()) c.budget.pay(c.subject.text().size() / 2);
  const auto length = length_of(c.subject);
  if (!length)
    throw_input("object of type '" + std::string(type_name(c.subject)) + "' has no len()");
  return static_cast<int64_t>(*length);
}

Value first(Call& c) {
  if (c.subject.is_list() && c.subject.list().kind == List::Kind::generator) {
    auto& list = c.subject.list();
    if (list.taken < list.items.size()) return list.items[list.taken++];
  } else if (Items items = iterate(c.subject, c.budget); !items.empty()) {
    return items.front();
  }
  return Undefined{"No first item, sequence was empty."};
}

void refuse_generator(Call& c) {
  if (c.subject.is_list() && c.subject.list().kind == List::Kind::generator)
    throw_input("'generator' object is not reversible");
}

Value last(Call& c) {
  refuse_generator(c);
  Items items = iterate(c.subject, c.budget);
  if (items.empty()) return Undefined{"No last item, sequence was empty."};
  return items.back();
}

Value list(Call& c) {
  return list_of(iterate(c.subject, c.budget));
}

Value reverse(Call& c) {
  Items items = iterate(c.subject, c.budget);
  std::ranges::reverse(items);
  if (!c.subject.is_string()) return generator(std::move(items));
  Text out;
  for (const auto& item : items) out.append(item.text());
  return out;
}

Value join(Call& c) {
  const Getter get(c, c.find(1));
  const Text separator = c.find(0) == nullptr ? Text() : to_text(c.value(0), c.budget);
  Text out;
  bool is_first = true;
  for (auto& item : iterate(c.subject, c.budget)) {
    if (!std::exchange(is_first, false)) {
      c.budget.pay_bytes(separator.size());
      out.append(separator);
    }
    out.append(to_text(get(std::move(item)), c.budget));
  }
  return out;
}

Value items(Call& c) {
  if (c.subject.is_undefined()) return generator({});
  if (!c.subject.is_dict()) c.fail("can only get item pairs from a mapping");
  Items out;
  for (const auto& [key, value] : c.subject.dict().items)
    out.push_back(list_of({key, value}, List::Kind::tuple));
  return generator(std::move(out));
}

void sort_by(Items& items, const std::function<Value(const Value&)>& key, bool reverse,
             Budget& budget) {
  std::vector<std::pair<Value, Value>> keyed;
  for (auto& item : items) keyed.emplace_back(key(item), std::move(item));
  if (reverse) std::ranges::reverse(keyed);
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    return compare(a.first, b.first, "<", budget) < 0;
  });
  if (reverse) std::ranges::reverse(keyed);
  for (size_t i = 0; i < items.size(); ++i) items[i] = std::move(keyed[i].second);
}

Value sort(Call& c) {
  const bool case_matters = c.flag(1);
  std::vector<Getter> getters;  // of "a,b": several, the first one first
  if (c.has(2) && c.value(2).is_string()) {
    const std::string comma = ",";
    for (const Text& part : split(c.text(2), {.separator = &comma})) {
      const Value attribute(part);
      getters.emplace_back(c, &attribute);
    }
  } else {
    getters.emplace_back(c, c.find(2));
  }
  Items items = iterate(c.subject, c.budget);
  const auto key = [&](const Value& item) {
    Items keys;
    for (const auto& get : getters)
      keys.push_back(case_matters ? get(item) : without_case(get(item)));
    return list_of(std::move(keys));
  };
  sort_by(items, key, c.flag(0), c.budget);
  return list_of(std::move(items));
}

Value dictsort(Call& c) {
  if (!c.subject.is_dict())
    c.fail("expects a dict, found '" + std::string(type_name(c.subject)) + "'");
  const std::string by = c.has(1) ? c.text(1).bytes() : "key";
  if (by != "key" && by != "value") c.fail("can only sort by either \"key\" or \"value\"");
  Items pairs;
  for (const auto& [key, value] : c.subject.dict().items)
    pairs.push_back(list_of({key, value}, List::Kind::tuple));
  const auto key = [&](const Value& pair) {
    const Value& part = pair.list().items[by == "key" ? 0 : 1];
    return c.flag(0) ? part : without_case(part);
  };
  sort_by(pairs, key, c.flag(2), c.budget);
  return list_of(std::move(pairs));
}

Value groupby(Call& c) {
  const Getter get(c, c.find(0), c.find(1));
  const auto key = [&](const Value& item) {
    return c.flag(2) ? get(item) : without_case(get(item));
  };
  Items items = iterate(c.subject, c.budget);
  sort_by(items, key, false, c.budget);
  Items out;
  for (size_t begin = 0; begin < items.size();) {
    const Value group = key(items[begin]);
    Items members;
    size_t end = begin;
    while (end < items.size() && equal(key(items[end]), group, c.budget))
      members.push_back(items[end++]);
    out.emplace_back(List{.kind = List::Kind::tuple,
                          .items = {get(items[begin]), list_of(std::move(members))},
                          .label = std::string(group_label)});
    begin = end;
  }
  return list_of(std::move(out));
}

Value unique(Call& c) {
  const Getter get(c, c.find(1));
  Items seen, out;
  for (auto& item : iterate(c.subject, c.budget)) {
    const Value key = c.flag(0) ? get(item) : without_case(get(item));
    if (std::ranges::any_of(seen, [&](const Value& s) { return equal(s, key, c.budget); }))
      continue;
    seen.push_back(key);
    out.push_back(std::move(item));
  }
  return generator(std::move(out));
}

Value extreme(Call& c, int sign) {
  const Getter get(c, c.find(1));
  std::optional<std::pair<Value, Value>> best;  // key, item
  for (auto& item : iterate(c.subject, c.budget)) {
    const Value key = c.flag(0) ? get(item) : without_case(get(item));
    if (!best || sign * compare(key, best->first, sign > 0 ? ">" : "<", c.budget) > 0)
      best.emplace(key, std::move(item));
  }
  if (!best) return Undefined{"No aggregated item, sequence was empty."};
  return best->second;
}

Value sum(Call& c) {
  const Getter get(c, c.find(0));
  Value total = c.find(1) != nullptr ? c.value(1) : Value(int64_t{0});
  if (total.is_string()) c.fail("can't sum strings");
  for (auto& item : iterate(c.subject, c.budget))
    total = binary(BinaryOp::add, total, get(std::move(item)), c.evaluator);
  return total;
}

Value attr(Call& c) {
  const std::string& name = c.text(0).bytes();
  if (auto own = c.evaluator.own_attribute(c.subject, name)) return *own;
  return Undefined{"'" + std::string(type_name(c.subject)) + " object' has no attribute '" + name +
                   "'"};
}

// map('filter', ...) or map(attribute='name', default=...)
Value map(Call& c) {
  Arguments arguments = c.rest;
  Items out;
  if (!truth(c.subject)) return generator({});
  if (arguments.positional.empty()) {
    const Value *attribute = nullptr, *otherwise = nullptr;
    for (const auto& [name, value] : arguments.named) {
      if (name == "attribute")
        attribute = &value;
      else if (name == "default")
        otherwise = &value;
      else
        c.fail("has no parameter '" + name + "'");
    }
    if (attribute == nullptr) c.fail("requires a filter's name, or attribute=");
    const Getter get(c, attribute, otherwise);
    for (auto& item : iterate(c.subject, c.budget)) out.push_back(get(std::move(item)));
    return generator(std::move(out));
  }
  const Value name = arguments.positional.front();
  if (!name.is_string()) c.fail("requires the name of a filter");
  arguments.positional.erase(arguments.positional.begin());
  for (const auto& item : iterate(c.subject, c.budget))
    out.push_back(c.evaluator.filter(name.bytes(), item, arguments));
  return generator(std::move(out));
}

// The items for which a test of the item or of its attribute yields `wanted`; the default test is
// truth.
Value chosen(Call& c, bool wanted, bool by_attribute) {
  Arguments arguments = c.rest;
  auto& positional = arguments.positional;
  const auto take = [&] {
    Value value = std::move(positional.front());
    positional.erase(positional.begin());
    return value;
  };
  if (!truth(c.subject)) return generator({});
  if (by_attribute && positional.empty()) c.fail("requires the name of an attribute");
  const Value attribute = by_attribute ? take() : Value();
  const Getter get(c, by_attribute ? &attribute : nullptr);
  const Value test = positional.empty() ? Value() : take();
  if (!test.is_none() && !test.is_string()) c.fail("requires the name of a test");
  Items out;
  for (auto& item : iterate(c.subject, c.budget)) {
    const Value value = get(item);
    const bool holds =
        test.is_none() ? truth(value) : c.evaluator.test(test.bytes(), value, arguments);
    if (holds == wanted) out.push_back(std::move(item));
  }
  return generator(std::move(out));
}

constexpr Builtin table[] = {
    {"attr", "name", attr},
    {"batch", "linecount fill_with?", batch},
    {"count", "", length},
    {"dictsort", "case_sensitive? by? reverse?", dictsort},
    {"first", "", first},
    {"groupby", "attribute default? case_sensitive?", groupby},
    {"items", "", items},
    {"join", "d? attribute?", join},
    {"last", "", last},
    {"length", "", length},
    {"list", "", list},
    {"map", "* **", map},
    {"max", "case_sensitive? attribute?", [](Call& c) { return extreme(c, 1); }},
    {"min", "case_sensitive? attribute?", [](Call& c) { return extreme(c, -1); }},
    {"reject", "* **", [](Call& c) { return chosen(c, false, false); }},
    {"rejectattr", "* **", [](Call& c) { return chosen(c, false, true); }},
    {"reverse", "", reverse},
    {"select", "* **", [](Call& c) { return chosen(c, true, false); }},
    {"selectattr", "* **", [](Call& c) { return chosen(c, true, true); }},
    {"slice", "slices fill_with?", slice_columns},
    {"sort", "reverse? case_sensitive? attribute?", sort},
    {"sum", "attribute? start?", sum},
    {"unique", "case_sensitive? attribute?", unique},
};

}  // namespace

std::span<const Builtin> list_filters() {
  return table;
}

}  // namespace ktx::text::jinja
