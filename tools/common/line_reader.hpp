// Reads a chat's messages from the terminal: with a line editor if ktx has one, else line by line.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace ktx::tools {

struct Line {
  enum class End { enter, interrupt, end_of_input } end = End::enter;  // interrupt: Ctrl-C
  std::string text;  // without its line end; several lines where they were pasted as one block
};

class LineReader {
 public:
  virtual ~LineReader() = default;
  /// Shows the prompt on stderr and waits for a line. SIGINT must be ignored or handled.
  virtual Line read() = 0;
};

inline constexpr const char* line_prompt = "> ";

/// Lines as the terminal gives them: what is longer than 4,095 bytes it cuts.
std::unique_ptr<LineReader> plain_line_reader();

/// libedit's editor on stdin and stderr, its history kept in a file; nothing where ktx was built
/// without libedit.
std::unique_ptr<LineReader> libedit_line_reader(const std::filesystem::path& history);

/// "libedit 2.11", or that there is none.
std::string line_editor_name();

/// The editor where there is one, and stdin and stderr are a terminal that it can draw on; else the
/// plain reader.
std::unique_ptr<LineReader> open_line_reader();

/// Where the messages of all chats are kept: ktx/history in $XDG_STATE_HOME, which is
/// ~/.local/state where it is not set; empty: nowhere, for want of a home. Either may be null.
std::filesystem::path history_file(const char* xdg_state_home, const char* home);

}  // namespace ktx::tools
