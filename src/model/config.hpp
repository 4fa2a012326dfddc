// Reads hyper-parameters from config.json or GGUF metadata; errors name the key and the file.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.hpp"
#include "core/base/limits.hpp"
#include "model/model.hpp"

namespace ktx::model {

/// One hyper-parameter under its name in either naming. GGUF keys are written without the prefix
/// `<architecture>.`. An empty name: that naming has no such key, its value is the default.
struct Key {
  std::string_view hugging_face;
  std::string_view gguf;
  std::string_view alias = {};  // second Hugging Face spelling
};

/// What a count may be. Products of a few of the bounds stay far below 2^63.
struct Range {
  int64_t lowest = 1;
  int64_t most = limits::columns;
};

/// A view of a configuration object. A null value counts as absent. Copies and sections share the
/// memory of what has been looked at.
class Config {
 public:
  /// prefix: put before GGUF keys, "deepseek2."; unused otherwise.
  Config(Naming naming, const Json& object, std::string where, std::string prefix = {});

  Naming naming() const noexcept { return naming_; }
  bool gguf() const noexcept { return naming_ == Naming::gguf; }
  const std::string& where() const noexcept { return where_; }
  const std::string& prefix() const noexcept { return prefix_; }

  /// The value, or nullptr when absent or null. Both spellings count as looked at from now on.
  const Json* find(const Key& key) const;
  bool has(const Key& key) const { return find(key) != nullptr; }

  /// A whole number. Without fallback a missing key is an input error. In GGUF it may be a list of
  /// one number a layer: those that are not 0 must then be the same.
  int count(const Key& key, Range range = {}) const;
  int count_or(const Key& key, int fallback, Range range = {}) const;
  /// A whole number of tokens, 1 to limits::context.
  int64_t tokens(const Key& key) const;
  int64_t tokens_or(const Key& key, int64_t fallback) const;

  /// A finite number above `above`.
  double number(const Key& key, double above = 0) const;
  double number_or(const Key& key, double fallback, double above = 0) const;

  bool flag_or(const Key& key, bool fallback) const;
  std::string text_or(const Key& key, const std::string& fallback) const;
  std::set<int> layers_or_empty(const Key& key) const;

  /// An input error about a key: `'<key>' <message>`.
  [[noreturn]] void fail(const Key& key, const std::string& message,
                         std::vector<std::string> notes = {}) const;

  /// The key as this file spells it, for messages.
  std::string spelled(const Key& key) const;

  /// The object under a Hugging Face key, as a configuration of its own; an empty one when absent.
  Config section(std::string_view key) const;

  /// What nothing has looked at, by name ("rope_scaling.factor" in a section): all of config.json's
  /// members, of GGUF's those with the prefix.
  std::vector<std::pair<std::string, const Json*>> unread() const;

 private:
  const Json& one_of_layers(const Key& key, const Json& value) const;
  const Json& required(const Key& key) const;
  int64_t whole(const Key& key, const Json& value, Range range) const;
  double real(const Key& key, const Json& value, double above) const;

  Naming naming_;
  const Json* object_;
  std::string where_, prefix_;
  std::shared_ptr<std::set<const Json*>> read_ = std::make_shared<std::set<const Json*>>();
};

}  // namespace ktx::model
