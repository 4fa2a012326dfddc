// A trie over the tokens' bytes.
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

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    uint32_t node = 0;
    for (const char c : tokens_[i].content) {
      const auto byte = static_cast<unsigned char>(c);
      auto& next = nodes_[node].next;
      const auto found = std::find_if(next.begin(), next.end(),
                                      [&](const auto& edge) { return edge.first == byte; });
      if (found != next.end()) {
        node = found->second;
        continue;
      }
      const auto made = static_cast<uint32_t>(nodes_.size());
      next.emplace_back(byte, made);
      nodes_.emplace_back();
      node = made;
    }
    if (node != 0) nodes_[node].token = static_cast<int32_t>(i);
  }
  for (const auto& [byte, node] : nodes_[0].next) first_[byte] = node;
}

const AddedToken* AddedTokens::longest_at(std::string_view text, bool special,
                                          StepBudget& budget) const {
  const AddedToken* longest = nullptr;
  uint32_t node = first_[static_cast<unsigned char>(text[0])];
  for (size_t at = 1; node != 0; ++at) {
    if (nodes_[node].token >= 0) {
      const auto& token = tokens_[static_cast<size_t>(nodes_[node].token)];
      if (special || !token.special) longest = &token;
    }
    if (at == text.size()) break;
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto& next = nodes_[node].next;
    budget.pay(1 + next.size() / 8, "looking for added tokens");
    const auto found =
        std::find_if(next.begin(), next.end(), [&](const auto& e) { return e.first == byte; });
    node = found == next.end() ? 0 : found->second;
  }
  return longest;
}

void AddedTokens::find(std::string_view text, bool special, std::vector<Match>& matches,
                       StepBudget& budget) const {
  if (tokens_.empty()) return;
  size_t free = 0;  // from here on no match has taken the text
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = longest_at(text.substr(at), special, budget);
    if (token == nullptr) {
      ++at;
      continue;
    }
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
