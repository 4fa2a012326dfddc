// Only what a signal handler may call: write and _exit.
#include "tools/common/fault.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>

#include "ktx/mapped_file.hpp"
#include "tools/common/cli.hpp"

namespace ktx::tools {

namespace {

// A handler reaches globals only.
std::string tool_name;
std::atomic_flag ending;

void say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;  // nobody to tell
}

void on_fault(int signal, siginfo_t* info, void*) {
  const char* file = mapped_file_at(info->si_addr);
  if (file == nullptr) {
    std::signal(signal, SIG_DFL);  // it is raised again on return
    return;
  }
  while (ending.test_and_set()) ::pause();  // another thread is at it
  say(tool_name.c_str());
  say(": ");
  say(file);
  say(": was truncated while in use\n  note: the next start writes it again\n");
  ::_exit(exit_failed);
}

}  // namespace

void install_fault_handler(const std::string& tool) {
  tool_name = tool;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace ktx::tools
