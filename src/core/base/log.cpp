// Logging through one spdlog logger with a callback sink.
#include "core/base/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <memory>
#include <mutex>
#include <utility>

#include "core/base/printable.hpp"

namespace ktx {

namespace {

LogLevel from_spdlog(spdlog::level::level_enum level) {
  if (level >= spdlog::level::warn) return LogLevel::warning;
  return level >= spdlog::level::info ? LogLevel::info : LogLevel::debug;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      break;
  }
  return spdlog::level::warn;
}

class CallbackSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void set(LogSink callback) {
    const std::lock_guard lock(mutex_);
    sink_ = std::move(callback);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (sink_) sink_(from_spdlog(message.level), {message.payload.data(), message.payload.size()});
  }
  void flush_() override {}

 private:
  LogSink sink_;
};

struct Logger {
  std::shared_ptr<CallbackSink> sink = std::make_shared<CallbackSink>();
  spdlog::logger logger{"ktx", sink};

  // By default spdlog prints a sink's exception to stderr; the library never prints.
  Logger() {
    logger.set_error_handler([](const std::string&) {});
  }
};

Logger& logger() {
  static Logger instance;
  return instance;
}

}  // namespace

void set_log_sink(LogSink sink, LogLevel least) {
  logger().sink->set(std::move(sink));
  logger().logger.set_level(to_spdlog(least));
}

void base::log(LogLevel level, const std::string& message) {
  logger().logger.log(to_spdlog(level), base::printable(message));
}

}  // namespace ktx
