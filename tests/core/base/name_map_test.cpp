#include "core/base/name_map.hpp"

#include <algorithm>
#include <cstring>

#include "catch.hpp"

namespace ktx::base {
namespace {

constexpr std::array<uint64_t, 2> key{0x0706050403020100, 0x0f0e0d0c0b0a0908};

std::string counted(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(i);
  return bytes;
}

TEST_CASE("names: SipHash is that of its authors") {  // vectors of SipHash-2-4 in their C code
  const SipRounds rounds{.word = 2, .end = 4};
  CHECK(sip_hash(counted(0), key, rounds) == 0x726fdb47dd0e0e31);
  CHECK(sip_hash(counted(1), key, rounds) == 0x74f839c593dc67fd);
  CHECK(sip_hash(counted(8), key, rounds) == 0x93f5f5799a932462);
  CHECK(sip_hash(counted(15), key, rounds) == 0xa129ca6149be45e5);
}

TEST_CASE("names: hashes depend on key and rounds") {
  const std::array<uint64_t, 2> other{key[0] ^ 1, key[1]};
  CHECK(sip_hash("name", key, {1, 3}) != sip_hash("name", other, {1, 3}));
  CHECK(sip_hash("name", key, {1, 3}) != sip_hash("name", key, {2, 4}));
  CHECK(NameHash()("name") == NameHash()(std::string("name")));
  CHECK(NameHash()("name") != sip_hash("name", {}, {1, 3}));  // the process has drawn a key
}

// The inverse of libstdc++'s std::hash for the second half of a name of 16 bytes.
std::string with_hash(uint64_t first, uint64_t wanted) {
  constexpr uint64_t mul = (uint64_t{0xc6a4a793} << 32) + 0x5bd1e995, seed = 0xc70f6907;
  uint64_t inverse = mul;  // modulo 2^64, by Newton's iteration
  for (int i = 0; i < 6; ++i) inverse *= 2 - mul * inverse;
  const auto mix = [](uint64_t v) { return v ^ v >> 47; };
  const uint64_t halfway = ((seed ^ 16 * mul) ^ mix(first * mul) * mul) * mul;
  const uint64_t second = mix((halfway ^ wanted) * inverse) * inverse;
  std::string name(16, '\0');
  std::memcpy(name.data(), &first, 8);
  std::memcpy(name.data() + 8, &second, 8);
  return name;
}

TEST_CASE("names: those that collide in std::hash do not here") {
  constexpr uint64_t names = 2000;
  NameMap<uint64_t> map;
  NameSet<> set;
  std::unordered_set<size_t> hashes, std_hashes;
  for (uint64_t i = 0; i < names; ++i) {
    const std::string name = with_hash(i, 42);
    std_hashes.insert(std::hash<std::string>()(name));
    hashes.insert(NameHash()(name));
    map.emplace(name, i);
    set.insert(name);
  }
#ifdef __GLIBCXX__
  CHECK(std_hashes.size() == 1);  // the names are hostile
#endif
  CHECK(hashes.size() == names);
  CHECK(map.size() == names);
  CHECK(map.find(std::string_view(with_hash(7, 42)))->second == 7);
  CHECK(set.contains(std::string_view(with_hash(7, 42))));
  size_t longest = 0;
  for (size_t i = 0; i < set.bucket_count(); ++i) longest = std::max(longest, set.bucket_size(i));
  CHECK(longest < 20);  // 9 and more have a chance below 1e-3
}

}  // namespace
}  // namespace ktx::base
