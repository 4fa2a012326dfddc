// An Aho-Corasick automaton over the reversed tokens, which reads the text backwards: where it
// stands after a byte tells the longest token that begins there.
#include "text/added_tokens.hpp"

#include <algorithm>
#include <utility>

#include "text/unicode.hpp"

namespace ktx::text {

namespace {

// Where the last character before byte `at` begins; at - 1 when that is no valid one.
size_t previous_character(std::string_view text, size_t at) {
  for (size_t size = 1; size <= 4 && size <= at; ++size) {
    const auto step = utf8_step(text.substr(at - size, size));
    if (step.kind == Utf8Step::valid && step.size == size) return at - size;
  }
  return at - 1;
}

template <class Property>
bool has(Property property, std::string_view character) {
  const auto step = utf8_step(character);
  return step.kind == Utf8Step::valid && property(step.codepoint);
}

bool is_single_word(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && has(is_word, text.substr(previous_character(text, begin)))) return false;
  return end == text.size() || !has(is_word, text.substr(end));
}

}  // namespace

// The trie is built from lists of edges that grow, then packed.
AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  std::vector<std::vector<std::pair<unsigned char, uint32_t>>> next(1);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    uint32_t node = 0;
    const std::string& content = tokens_[i].content;
    for (auto c = content.rbegin(); c != content.rend(); ++c) {
      const auto byte = static_cast<unsigned char>(*c);
      const auto found =
          std::ranges::find(next[node], byte, &std::pair<unsigned char, uint32_t>::first);
      if (found != next[node].end()) {
        node = found->second;
        continue;
      }
      const auto made = static_cast<uint32_t>(nodes_.size());
      next[node].emplace_back(byte, made);
      next.emplace_back();
      nodes_.emplace_back();
      node = made;
    }
    if (node == 0) continue;
    nodes_[node].longest = static_cast<int32_t>(i);
    if (!tokens_[i].special) nodes_[node].longest_plain = static_cast<int32_t>(i);
  }
  for (size_t node = 0; node < nodes_.size(); ++node) {
    std::ranges::sort(next[node]);
    nodes_[node].first_edge = static_cast<uint32_t>(edges_.size());
    nodes_[node].edges = static_cast<uint32_t>(next[node].size());
    edges_.insert(edges_.end(), next[node].begin(), next[node].end());
  }
  for (const auto& [byte, node] : next[0]) first_[byte] = node;
  link_shorter();
}

uint32_t AddedTokens::child(uint32_t node, unsigned char byte) const noexcept {
  if (node == 0) return first_[byte];
  const auto begin = edges_.begin() + nodes_[node].first_edge, end = begin + nodes_[node].edges;
  const auto found = std::lower_bound(begin, end, std::pair(byte, uint32_t{0}));
  return found != end && found->first == byte ? found->second : 0;
}

// The node of the longest suffix of the walk and the byte that begins a reversed token.
uint32_t AddedTokens::step(uint32_t node, unsigned char byte) const noexcept {
  uint32_t next = child(node, byte);
  while (next == 0 && node != 0) {
    node = nodes_[node].shorter;
    next = child(node, byte);
  }
  return next;
}

// Breadth first: what a node refers to is done before it.
void AddedTokens::link_shorter() {
  std::vector<uint32_t> queue{0};
  for (size_t at = 0; at < queue.size(); ++at) {
    const uint32_t parent = queue[at];
    for (uint32_t e = 0; e < nodes_[parent].edges; ++e) {
      const auto [byte, index] = edges_[nodes_[parent].first_edge + e];
      Node& node = nodes_[index];
      if (parent != 0) node.shorter = step(nodes_[parent].shorter, byte);
      const Node& shorter = nodes_[node.shorter];
      if (node.longest == none) node.longest = shorter.longest;
      if (node.longest_plain == none) node.longest_plain = shorter.longest_plain;
      queue.push_back(index);
    }
  }
}

// For every byte of the text, which token of those that begin there is the longest.
std::vector<int32_t> AddedTokens::longest_from(std::string_view text, bool special) const {
  std::vector<int32_t> longest(text.size(), none);
  uint32_t node = 0;
  for (size_t at = text.size(); at-- > 0;) {
    node = step(node, static_cast<unsigned char>(text[at]));
    longest[at] = special ? nodes_[node].longest : nodes_[node].longest_plain;
  }
  return longest;
}

void AddedTokens::find(std::string_view text, bool special, std::vector<Match>& matches) const {
  if (tokens_.empty()) return;
  const auto longest = longest_from(text, special);
  size_t free = 0;  // from here on no match has taken the text
  for (size_t at = 0; at < text.size();) {
    if (longest[at] == none) {
      ++at;
      continue;
    }
    const AddedToken* token = &tokens_[static_cast<size_t>(longest[at])];
    size_t begin = at, end = at + token->content.size();
    at = end;
    if (token->single_word && !is_single_word(text, begin, end)) continue;
    if (token->lstrip)
      while (begin > free) {
        const size_t before = previous_character(text, begin);
        if (before < free || !has(is_space, text.substr(before))) break;
        begin = before;
      }
    if (token->rstrip)
      while (end < text.size() && has(is_space, text.substr(end)))
        end += utf8_step(text.substr(end)).size;
    matches.push_back({begin, end, token->id});
    free = at = end;
  }
}

}  // namespace ktx::text
