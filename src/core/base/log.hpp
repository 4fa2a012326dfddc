// Logging, by spdlog, to the sink that ktx/log.hpp sets.
#pragma once

#include <string>

#include "ktx/log.hpp"

namespace ktx::base {

void log(LogLevel level, const std::string& message);

}  // namespace ktx::base
