// The environment variable KTX_ISA for a scope.
#pragma once

#include <cstdlib>
#include <string>

namespace ktx::test {

/// Sets KTX_ISA (nullptr: unsets it); what was there before comes back at the end.
class KtxIsa {
 public:
  explicit KtxIsa(const char* value) {
    if (was_set_) before_ = std::getenv("KTX_ISA");
    set(value);
  }
  ~KtxIsa() { set(was_set_ ? before_.c_str() : nullptr); }
  KtxIsa(const KtxIsa&) = delete;
  KtxIsa& operator=(const KtxIsa&) = delete;

 private:
  static void set(const char* value) {
    if (value == nullptr)
      ::unsetenv("KTX_ISA");
    else
      ::setenv("KTX_ISA", value, 1);
  }

  bool was_set_ = std::getenv("KTX_ISA") != nullptr;
  std::string before_;
};

}  // namespace ktx::test
