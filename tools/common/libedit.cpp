// Lines edited by libedit. What it lacks is added as editor functions: a pasted block as one
// message (bracketed paste), Ctrl-C as a key, a line end inside a message.
#include <histedit.h>
#include <langinfo.h>
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <utility>

#include "ktx/error.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/files.hpp"
#include "tools/common/line_reader.hpp"

namespace ktx::tools {

namespace {

namespace fs = std::filesystem;

constexpr int history_size = 1000;
constexpr const char* paste_mode_on = "\033[?2004h";  // the terminal marks what is pasted
constexpr const char* paste_mode_off = "\033[?2004l";
constexpr std::wstring_view paste_end = L"\033[201~";

template <auto close>
struct Closer {
  void operator()(auto* thing) const { close(thing); }
};

// Line ends as a terminal sends them, \r or \r\n, become \n.
std::wstring with_line_feeds(std::wstring_view text) {
  std::wstring out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != L'\r')
      out += text[i];
    else if (i + 1 == text.size() || text[i + 1] != L'\n')
      out += L'\n';
  }
  return out;
}

unsigned char insert(EditLine* editor, const std::wstring& text) {
  return el_winsertstr(editor, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

// Bound to what the terminal sends before a pasted block.
unsigned char paste(EditLine* editor, wint_t) {
  std::wstring text;
  while (!text.ends_with(paste_end)) {
    wchar_t c = 0;
    if (el_wgetc(editor, &c) != 1) return CC_EOF;
    if (c != 0) text += c;
  }
  text.resize(text.size() - paste_end.size());
  return insert(editor, with_line_feeds(text));
}

unsigned char insert_line_end(EditLine* editor, wint_t) {
  return insert(editor, L"\n");
}

constexpr std::string_view interrupt_mark = "^C";

// Bound to Ctrl-C: ends the line as Enter does, but marked.
unsigned char interrupt(EditLine* editor, wint_t) {
  bool* interrupted = nullptr;
  el_wget(editor, EL_CLIENTDATA, &interrupted);
  *interrupted = true;
  const auto* line = el_wline(editor);
  el_cursor(editor, static_cast<int>(line->lastchar - line->cursor));
  el_wpush(editor, L"\n");
  return insert(editor, L"^C");
}

// Bound to Ctrl-Z, a key as well then; libedit's handler leaves the terminal in order.
unsigned char suspend(EditLine* editor, wint_t) {
  FILE* out = nullptr;
  el_get(editor, EL_GETFP, 1, &out);
  std::fputs(paste_mode_off, out);
  std::raise(SIGTSTP);
  std::fputs(paste_mode_on, out);
  return CC_REDISPLAY;
}

char* prompt(EditLine*) {
  static std::string text = line_prompt;
  return text.data();
}

class LibeditReader final : public LineReader {
 public:
  explicit LibeditReader(const fs::path& history);
  Line read() override;

 private:
  void bind_keys();
  void load_history(const fs::path& file);
  void remember(const std::string& text);

  std::unique_ptr<FILE, Closer<std::fclose>> out_;  // buffered, as stderr is not
  std::unique_ptr<History, Closer<history_end>> history_;
  std::unique_ptr<EditLine, Closer<el_end>> editor_;
  std::string history_file_;  // empty: kept in memory only
  bool interrupted_ = false;
};

LibeditReader::LibeditReader(const fs::path& history)
    : out_(fdopen(dup(STDERR_FILENO), "w")), history_(history_init()) {
  // libedit reads characters of the locale; the model's text is UTF-8.
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
  if (out_) editor_.reset(el_init("ktx-run", stdin, out_.get(), out_.get()));
  if (!editor_ || !history_)
    throw Error(ErrorCategory::environment, "libedit can't edit lines on this terminal");
  el_set(editor_.get(), EL_PROMPT, prompt);
  el_set(editor_.get(), EL_EDITOR, "emacs");
  el_set(editor_.get(), EL_SIGNAL, 1);  // the terminal's size, Ctrl-Z, an end by a signal
  el_set(editor_.get(), EL_CLIENTDATA, &interrupted_);
  bind_keys();
  HistEvent event;
  ::history(history_.get(), &event, H_SETSIZE, history_size);
  el_set(editor_.get(), EL_HIST, ::history, history_.get());
  if (!history.empty()) load_history(history);
}

void LibeditReader::bind_keys() {
  auto* editor = editor_.get();
  const auto add = [editor](const wchar_t* name, const wchar_t* help, auto function) {
    el_wset(editor, EL_ADDFN, name, help, function);
  };
  add(L"ktx-paste", L"Insert a pasted block", paste);
  add(L"ktx-line-end", L"Insert a line end", insert_line_end);
  add(L"ktx-interrupt", L"Discard the line", interrupt);
  add(L"ktx-suspend", L"Stop the program until it is continued", suspend);
  constexpr std::pair<const wchar_t*, const wchar_t*> keys[] = {
      {L"\\e[200~", L"ktx-paste"},     {L"\\e^M", L"ktx-line-end"},  // Alt-Enter
      {L"\\e^J", L"ktx-line-end"},     {L"^C", L"ktx-interrupt"},
      {L"^Z", L"ktx-suspend"},         {L"^R", L"em-inc-search-prev"},  // as in a shell
      {L"^W", L"ed-delete-prev-word"}, {L"\\e[1;5C", L"em-next-word"},  // Ctrl-Right, Ctrl-Left
      {L"\\e[1;5D", L"ed-prev-word"}};
  for (const auto& [key, function] : keys) el_wset(editor, EL_BIND, key, function, nullptr);
  // Ctrl-C and Ctrl-Z are keys, and the \r\n of a pasted line end comes as it is.
  el_wset(editor, EL_SETTY, L"-d", L"-isig", L"-icrnl", L"-inlcr", nullptr);
}

void LibeditReader::load_history(const fs::path& file) {
  try {
    std::error_code failed;
    fs::create_directories(file.parent_path(), failed);
    check_writable(file);
    HistEvent event;
    if (fs::exists(file, failed) && ::history(history_.get(), &event, H_LOAD, file.c_str()) < 0)
      throw Error(ErrorCategory::input, "is no history that libedit can read", file.string());
    history_file_ = file.string();
  } catch (const Error& e) {
    warn(std::string(e.what()) + "; this chat's messages are not kept");
  }
}

void LibeditReader::remember(const std::string& text) {
  HistEvent event;
  auto* history = history_.get();
  if (::history(history, &event, H_FIRST) == 0 && text == event.str) return;
  ::history(history, &event, H_ENTER, text.c_str());
  if (!history_file_.empty()) ::history(history, &event, H_SAVE, history_file_.c_str());
}

Line LibeditReader::read() {
  interrupted_ = false;
  std::fputs(paste_mode_on, out_.get());
  // Else the prompt would come first, and keys that answer it at once be the terminal's to handle.
  el_set(editor_.get(), EL_PREP_TERM, 1);
  int size = 0;
  const char* line = el_gets(editor_.get(), &size);
  std::fputs(paste_mode_off, out_.get());
  std::fflush(out_.get());
  if (line == nullptr || size <= 0) return {Line::End::end_of_input, {}};
  std::string text(line, static_cast<size_t>(size));
  text.erase(text.find_last_not_of('\n') + 1);
  if (interrupted_) return {Line::End::interrupt, text.substr(0, text.rfind(interrupt_mark))};
  if (!text.empty()) remember(text);
  return {Line::End::enter, std::move(text)};
}

}  // namespace

std::unique_ptr<LineReader> libedit_line_reader(const fs::path& history) {
  return std::make_unique<LibeditReader>(history);
}

std::string line_editor_name() {
  return "libedit " + std::to_string(LIBEDIT_MAJOR) + "." + std::to_string(LIBEDIT_MINOR);
}

}  // namespace ktx::tools
