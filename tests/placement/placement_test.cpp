// From a rules file to a plan: the messages of wrong files, each beside its file in
// tests/data/rules/wrong.
#include <algorithm>
#include <filesystem>
#include <vector>

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"
#include "support/golden_file.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

std::vector<std::filesystem::path> wrong_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(KTX_TEST_DATA) / "rules/wrong"))
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

// The model has 4 layers, the first one dense, of 32 experts; the box 16 GiB and two GPUs.
std::string message_of(const std::filesystem::path& file) {
  const auto name = file.filename().string();
  return sample::error_of([&] {
    const auto rules = parse_rules(base::parse_yaml(base::read_text(file), name), name);
    make_plan(rules, sample::deepseek(), sample::machine_with_gpus(2), {});
  });
}

}  // namespace

TEST_CASE("every wrong rules file has its exact message") {
  const auto files = wrong_files();
  CHECK(files.size() >= 40);
  for (auto file : files) {
    INFO(file.filename().string());
    const auto message = message_of(file) + "\n";
    CHECK(message == test::golden_file(file.replace_extension(".txt"), message));
  }
}

TEST_CASE("every message of a wrong rules file says line and column") {
  for (const auto& file : wrong_files()) {
    const auto message = message_of(file);
    INFO(message);
    // name.yaml:LINE:COLUMN:
    const text::Regex place("^" + text::escape_regex(file.filename().string()) + R"(:\d+:\d+: )");
    CHECK(place.search(message));
  }
}
