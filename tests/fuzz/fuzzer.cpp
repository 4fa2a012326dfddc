// libFuzzer's entry. The environment variable KTX_FUZZ_TARGET names the target; with KTX_FUZZ_SEEDS
// its seeds are written into that folder first, from the files below KTX_FUZZ_SOURCE.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "fuzz/targets.hpp"

namespace {

using namespace ktx;

const fuzz::Target& chosen_target() {
  const char* name = std::getenv("KTX_FUZZ_TARGET");
  const auto* found = fuzz::find_target(name == nullptr ? "" : name);
  if (found != nullptr) return *found;
  std::fprintf(stderr, "KTX_FUZZ_TARGET must be one of");
  for (const auto& target : fuzz::targets())
    std::fprintf(stderr, " %.*s", static_cast<int>(target.name.size()), target.name.data());
  std::fprintf(stderr, "\n");
  std::exit(2);
}

void write_seeds(const fuzz::Target& target, const std::filesystem::path& folder) {
  const char* source = std::getenv("KTX_FUZZ_SOURCE");
  std::filesystem::create_directories(folder);
  for (const auto& seed : fuzz::seeds(source == nullptr ? "." : source))
    if (seed.target == target.name)
      std::ofstream(folder / seed.name, std::ios::binary) << seed.input;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const auto& target = chosen_target();
  if (const char* folder = std::getenv("KTX_FUZZ_SEEDS")) write_seeds(target, folder);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Target& target = chosen_target();
  try {
    fuzz::accepts(target, {reinterpret_cast<const char*>(data), size});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "FINDING: %s\n", e.what());
    std::abort();
  }
  return 0;
}
