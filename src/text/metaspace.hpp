// The settings of Metaspace, which pre-tokenizers and decoders share: how spaces are spelled.
#pragma once

#include <string>

#include "core/base/json.hpp"

namespace ktx::text {

struct Metaspace {
  enum Prefix { always, first, never };

  std::string mark;        // what a space is spelled as: one character
  Prefix prefix = always;  // which sections get one at their begin: all, or the text's first
  bool split = true;       // pieces begin at marks
};

/// From a step of that type. Throws input error.
Metaspace read_metaspace(const Json& step, const std::string& where);

}  // namespace ktx::text
