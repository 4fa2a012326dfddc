// Handles Ctrl-C while an object lives.
#pragma once

#include <signal.h>

namespace ktx::tools {

/// While it lives, SIGINT calls `handler` (or SIG_IGN, SIG_DFL); afterwards it does what it did
/// before.
class InterruptAction {
 public:
  /// flags: of sigaction; without SA_RESTART a blocked read ends with EINTR.
  explicit InterruptAction(void (*handler)(int), int flags = 0) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptAction() { sigaction(SIGINT, &before_, nullptr); }
  InterruptAction(const InterruptAction&) = delete;
  InterruptAction& operator=(const InterruptAction&) = delete;

 private:
  struct sigaction before_ {};
};

}  // namespace ktx::tools
