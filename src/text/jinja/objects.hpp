// Objects that templates make: namespaces, loops, cyclers, joiners.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "text/jinja/evaluator.hpp"

namespace ktx::text::jinja {

/// namespace(a=1): the only thing that a template can change.
class Namespace : public Object {
 public:
  explicit Namespace(Dict values);
  std::string_view type() const override { return "Namespace"; }
  std::optional<Value> attribute(std::string_view name) override;
  bool is_callable() const override { return false; }
  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  void clear() { values_.clear(); }

 private:
  base::NameMap<Value> values_;
};

/// `loop`, and the way through a loop's items.
class Loop : public Object {
 public:
  struct Options {
    std::vector<Value> items;
    std::optional<size_t> length;            // where it is known without going through them
    std::function<bool(const Value&)> keep;  // which items the loop takes; empty: all
    int depth0 = 0;                          // nesting level of recursive loops
    std::function<Value(const Value&, int depth0)> recurse;
  };
  Loop(Options options, Budget& budget);
  std::string_view type() const override { return "LoopContext"; }
  int depth() const override { return depth_; }
  bool is_callable() const override { return true; }
  std::optional<Value> attribute(std::string_view name) override;
  Value call(Evaluator& evaluator, Arguments arguments) override;

  /// Goes to the next item; false when there is none.
  bool advance();
  const Value& item() const { return *current_; }
  /// Drops the functions: the loop is over, but templates may still refer to it.
  void finish();
  /// loop.changed(...)
  bool changed(std::vector<Value> values);

 private:
  std::optional<Value> take();  // the next item that the loop takes
  const std::optional<Value>& peek();
  int64_t length();

  Options options_;
  Budget& budget_;
  size_t next_ = 0;  // of the items
  int64_t index0_ = -1;
  std::optional<Value> before_, current_, after_;
  std::optional<std::vector<Value>> last_changed_;
  bool has_after_ = false;
  int depth_ = 0;
};

/// cycler(a, b, ...)
class Cycler : public Object {
 public:
  explicit Cycler(std::vector<Value> items);
  std::string_view type() const override { return "Cycler"; }
  std::optional<Value> attribute(std::string_view name) override;
  bool is_callable() const override { return false; }
  int depth() const override { return depth_; }
  Value next();
  void reset() { at_ = 0; }

 private:
  std::vector<Value> items_;
  size_t at_ = 0;
  int depth_ = 0;
};

/// joiner(", "): nothing when it is called first, the separator from then on.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view type() const override { return "Joiner"; }
  int depth() const override { return separator_.depth() + 1; }
  Value call(Evaluator&, Arguments) override;

 private:
  Value separator_;
  bool used_ = false;
};

}  // namespace ktx::text::jinja
