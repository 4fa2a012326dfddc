// Which reader it is, and the plain one.
#include "tools/common/line_reader.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tools/common/interrupt.hpp"

namespace ktx::tools {

namespace {

class PlainReader final : public LineReader {
 public:
  PlainReader() = default;
  ~PlainReader() override { std::free(buffer_); }
  PlainReader(const PlainReader&) = delete;
  PlainReader& operator=(const PlainReader&) = delete;

  Line read() override {
    std::fputs(line_prompt, stderr);
    // std::getline would read on after a signal; POSIX's ends with EINTR.
    const InterruptAction ends_the_read([](int) {});
    const ssize_t size = ::getline(&buffer_, &capacity_, stdin);
    if (size < 0) {
      const bool interrupted = std::feof(stdin) == 0 && errno == EINTR;
      std::clearerr(stdin);
      return {interrupted ? Line::End::interrupt : Line::End::end_of_input, {}};
    }
    std::string_view text(buffer_, static_cast<size_t>(size));
    if (text.ends_with('\n')) text.remove_suffix(1);
    return {Line::End::enter, std::string(text)};
  }

 private:
  char* buffer_ = nullptr;
  size_t capacity_ = 0;
};

bool can_draw() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0 && terminal != nullptr &&
         *terminal != '\0' && std::string_view(terminal) != "dumb";
}

}  // namespace

std::unique_ptr<LineReader> plain_line_reader() {
  return std::make_unique<PlainReader>();
}

std::unique_ptr<LineReader> open_line_reader() {
  std::unique_ptr<LineReader> editor;
  if (can_draw())
    editor = libedit_line_reader(history_file(std::getenv("XDG_STATE_HOME"), std::getenv("HOME")));
  return editor ? std::move(editor) : plain_line_reader();
}

std::filesystem::path history_file(const char* xdg_state_home, const char* home) {
  // The XDG specification: a path that is not absolute is as none.
  const auto absolute = [](const char* path) { return path != nullptr && *path == '/'; };
  std::filesystem::path state;
  if (absolute(xdg_state_home))
    state = xdg_state_home;
  else if (absolute(home))
    state = std::filesystem::path(home) / ".local/state";
  else
    return {};
  return state / "ktx/history";
}

}  // namespace ktx::tools
