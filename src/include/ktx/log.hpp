// Where the library's log messages go: by default, nowhere.
#pragma once

#include <functional>
#include <string_view>

namespace ktx {

enum class LogLevel { debug, info, warning };

using LogSink = std::function<void(LogLevel, std::string_view message)>;

/// Sends all later messages of level `least` or above to `sink`; an empty sink silences the
/// library. The sink is called by one thread at a time and must not log; exceptions that it throws
/// are dropped.
void set_log_sink(LogSink sink, LogLevel least = LogLevel::info);

}  // namespace ktx
