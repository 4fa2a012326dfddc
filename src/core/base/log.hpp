// The door to spdlog: what the library logs goes to the sink of ktx/log.hpp.
#pragma once

#include <string>

#include "ktx/log.hpp"

namespace ktx::base {

void log(LogLevel level, const std::string& message);

}  // namespace ktx::base
