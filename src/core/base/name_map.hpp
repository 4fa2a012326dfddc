// Hash tables that are safe against hash flooding. Their keys come from files and users, who could
// write names that std::hash puts into one bucket: 60,000 of those cost a minute. A keyed hash
// prevents this, so these are the only hash tables in ktx.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace ktx::base {

/// SipHash (Aumasson and Bernstein 2012) with this many rounds per word and at the end.
struct SipRounds {
  int word, end;
};
uint64_t sip_hash(std::string_view bytes, std::array<uint64_t, 2> key, SipRounds rounds) noexcept;

/// A key that nobody outside of the process knows.
std::array<uint64_t, 2> random_key();

/// SipHash-1-3, as in Python and Rust, with a random key per process: iteration order differs from
/// run to run and must not be observable.
struct NameHash {
  using is_transparent = void;
  // Not noexcept, so that libstdc++ stores the hash of each entry instead of recomputing it.
  size_t operator()(std::string_view name) const;
};

/// Name: std::string, or std::string_view of text that outlives the table.
template <class T, class Name = std::string>
using NameMap = std::unordered_map<Name, T, NameHash, std::equal_to<>>;
template <class Name = std::string>
using NameSet = std::unordered_set<Name, NameHash, std::equal_to<>>;

}  // namespace ktx::base
