// What fuzzing once found wrong stays right; the seeds that fuzzing begins with are good inputs.
#include "fuzz/targets.hpp"

#include <set>

#include "catch.hpp"
#include "support/reference.hpp"

namespace ktx::fuzz {
namespace {

TEST_CASE("inputs that were findings") {
  for (const Target& target : targets()) {
    const auto folder = test::data_dir / "fuzz" / target.name;
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      INFO(entry.path().string());
      CHECK_NOTHROW(accepts(target, test::read_bytes(entry.path())));
    }
  }
}

TEST_CASE("every folder of findings is a target's") {
  for (const auto& entry : std::filesystem::directory_iterator(test::data_dir / "fuzz")) {
    INFO(entry.path().string());
    CHECK(find_target(entry.path().filename().string()) != nullptr);
  }
}

TEST_CASE("targets refuse what is none of theirs") {
  for (const Target& target : targets()) {
    INFO(target.name);
    CHECK_FALSE(accepts(target, "GGUF{% \"\n@@ overrides\n=="));
  }
}

TEST_CASE("targets take good seeds") {
  std::set<std::string_view> with_seeds;
  for (const Seed& seed : seeds(test::source_dir.string())) {
    INFO(seed.target << ": " << seed.name);
    const Target* target = find_target(seed.target);
    REQUIRE(target != nullptr);
    CHECK((accepts(*target, seed.input) || !seed.good));
    with_seeds.insert(seed.target);
  }
  CHECK(with_seeds.size() == targets().size());
}

}  // namespace
}  // namespace ktx::fuzz
