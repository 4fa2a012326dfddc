// The text of the ktx::Error that a call throws, for exact comparisons.
#pragma once

#include <string>

#include "ktx/error.hpp"

namespace ktx::test {

/// "category what()", or "nothing thrown".
template <class Call>
std::string failure(Call&& call) {
  try {
    call();
  } catch (const Error& e) {
    return std::string(to_string(e.category())) + " " + e.what();
  }
  return "nothing thrown";
}

}  // namespace ktx::test
