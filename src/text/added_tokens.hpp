// Added tokens: tokens that are recognised in the text before anything else is done with it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ktx::text {

/// One of tokenizer.json's added_tokens, or a control or user-defined token of a GGUF file.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // a control token: recognised only in text that may contain them
  bool single_word = false;  // only where no word character is next to it
  bool lstrip = false;       // includes the white space before it (rstrip: after it)
  bool rstrip = false;
  bool normalized = false;  // searched for after the normalizer ran
};

/// Finds added tokens: leftmost first, then longest.
class AddedTokens {
 public:
  struct Match {
    size_t begin = 0, end = 0;  // bytes, including the white space that it strips
    int32_t id = 0;
  };

  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  /// Appends the non-overlapping matches in `text`; without `special`, special tokens are ignored.
  /// Takes linear time for any tokens and text.
  void find(std::string_view text, bool special, std::vector<Match>& matches) const;

  bool empty() const noexcept { return tokens_.empty(); }

 private:
  static constexpr int32_t none = -1;  // of tokens
  struct Node {
    int32_t longest = none;        // token that ends a walk here: index of the longest,
    int32_t longest_plain = none;  // and of the longest that is not special
    uint32_t shorter = 0;          // the node of the longest proper suffix of this node's walk
    uint32_t first_edge = 0, edges = 0;  // in edges_, by their bytes
  };
  uint32_t child(uint32_t node, unsigned char byte) const noexcept;
  uint32_t step(uint32_t node, unsigned char byte) const noexcept;
  void link_shorter();
  std::vector<int32_t> longest_from(std::string_view text, bool special) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::vector<std::pair<unsigned char, uint32_t>> edges_;
  std::array<uint32_t, 256> first_{};  // node after a first byte; 0: none begins so
};

}  // namespace ktx::text
