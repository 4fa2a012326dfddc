// The map behind JSON objects: keeps the order of insertion and finds keys by hash.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <nlohmann/ordered_map.hpp>
#include <string_view>
#include <utility>
#include <vector>

namespace ktx::base {

/// nlohmann::ordered_map searches linearly, so that a tokenizer's vocabulary (129,280 keys) would
/// take half a minute to parse. This one adds an open-addressing table of positions once there are
/// more than a few keys. Keys must convert to std::string_view. Concurrent reads are safe.
template <class Key, class T, class Less = std::less<Key>,
          class Allocator = std::allocator<std::pair<const Key, T>>>
class ObjectMap : public nlohmann::ordered_map<Key, T, Less, Allocator> {
  using Base = nlohmann::ordered_map<Key, T, Less, Allocator>;

 public:
  using typename Base::const_iterator;
  using typename Base::iterator;
  using typename Base::size_type;
  using typename Base::value_type;

  ObjectMap() = default;
  template <class It>
  ObjectMap(It first, It last) {
    insert(first, last);
  }
  ObjectMap(std::initializer_list<value_type> values) : ObjectMap(values.begin(), values.end()) {}

  template <class K>
  iterator find(const K& key) {
    return this->begin() + static_cast<std::ptrdiff_t>(position(key));
  }
  template <class K>
  const_iterator find(const K& key) const {
    return this->begin() + static_cast<std::ptrdiff_t>(position(key));
  }
  template <class K>
  size_type count(const K& key) const {
    return position(key) < this->size() ? 1 : 0;
  }
  template <class K>
  T& at(const K& key) {
    return vector().at(position(key)).second;
  }
  template <class K>
  const T& at(const K& key) const {
    return vector().at(position(key)).second;
  }
  template <class K>
  T& operator[](K&& key) {
    return emplace(std::forward<K>(key), T{}).first->second;
  }
  template <class K>
  const T& operator[](const K& key) const {
    return at(key);
  }

  template <class K, class V>
  std::pair<iterator, bool> emplace(K&& key, V&& value) {
    if (const size_t at = position(key); at < this->size())
      return {this->begin() + static_cast<std::ptrdiff_t>(at), false};
    vector().emplace_back(std::forward<K>(key), std::forward<V>(value));
    if (this->size() * 2 > slots_.size())
      rebuild();
    else
      add(this->size() - 1);
    return {this->end() - 1, true};
  }
  template <class Pair>
  std::pair<iterator, bool> insert(Pair&& value) {
    return emplace(value.first, std::forward<Pair>(value).second);
  }
  template <class It>
  void insert(It first, It last) {
    for (; first != last; ++first) emplace(first->first, first->second);
  }

  iterator erase(iterator first, iterator last) {
    const auto next = Base::erase(first, last);
    rebuild();
    return next;
  }
  iterator erase(iterator at) { return erase(at, at + 1); }
  template <class K>
  requires std::convertible_to<const K&, std::string_view> size_type erase(const K& key) {
    const auto at = find(key);
    if (at == this->end()) return 0;
    erase(at);
    return 1;
  }
  void clear() noexcept {
    vector().clear();
    slots_.clear();
  }

 private:
  static constexpr size_t few = 16;  // up to here a linear search is as fast

  typename Base::Container& vector() { return *this; }
  const typename Base::Container& vector() const { return *this; }

  static size_t hash(std::string_view key) { return std::hash<std::string_view>{}(key); }

  // Of the key, or size() when there is none.
  size_t position(std::string_view key) const {
    const auto& entries = vector();
    if (slots_.empty()) {
      size_t i = 0;
      while (i < entries.size() && std::string_view(entries[i].first) != key) ++i;
      return i;
    }
    const size_t mask = slots_.size() - 1;
    for (size_t slot = hash(key) & mask; slots_[slot] != 0; slot = (slot + 1) & mask)
      if (std::string_view(entries[slots_[slot] - 1].first) == key) return slots_[slot] - 1;
    return entries.size();
  }

  void add(size_t index) {
    const size_t mask = slots_.size() - 1;
    size_t slot = hash(vector()[index].first) & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = index + 1;
  }

  void rebuild() {
    slots_.clear();
    if (this->size() <= few) return;
    size_t capacity = 4 * few;
    while (capacity < 4 * this->size()) capacity *= 2;
    slots_.resize(capacity);
    for (size_t i = 0; i < this->size(); ++i) add(i);
  }

  std::vector<size_t> slots_;  // 1 + position in the vector; 0: free; empty: search linearly
};

}  // namespace ktx::base
