// Hash tables whose keys come from files and users. With std::hash anybody can write names that all
// fall into one bucket: 60,000 of them cost a minute. With a keyed hash nobody can, and so these
// are the only hash tables of ktx.
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

/// SipHash (Aumasson and Bernstein 2012) with so many rounds a word and at the end.
struct SipRounds {
  int word, end;
};
uint64_t sip_hash(std::string_view bytes, std::array<uint64_t, 2> key, SipRounds rounds) noexcept;

/// Numbers that nobody outside of the process knows.
std::array<uint64_t, 2> random_key();

/// SipHash-1-3, as Python and Rust use it, with a key that each process draws for itself: the order
/// of a table's entries changes from run to run and must not be seen.
struct NameHash {
  using is_transparent = void;
  // Not noexcept: libstdc++ then keeps the hash of each entry instead of computing it again.
  size_t operator()(std::string_view name) const;
};

/// Name: std::string, or std::string_view of text that outlives the table.
template <class T, class Name = std::string>
using NameMap = std::unordered_map<Name, T, NameHash, std::equal_to<>>;
template <class Name = std::string>
using NameSet = std::unordered_set<Name, NameHash, std::equal_to<>>;

}  // namespace ktx::base
