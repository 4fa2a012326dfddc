// Where the library's log goes. By default nowhere.
#pragma once

#include <functional>
#include <string_view>

namespace ktx {

enum class LogLevel { debug, info, warning };

using LogSink = std::function<void(LogLevel, std::string_view message)>;

/// Sends all later messages at `least` or above to `sink`; an empty sink silences the library. The
/// sink is called by one thread at a time and must not log itself; what it throws is dropped.
void set_log_sink(LogSink sink, LogLevel least = LogLevel::info);

}  // namespace ktx
