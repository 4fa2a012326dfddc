// Tokens that are recognised in the text before anything else is done with it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/step_budget.hpp"

namespace ktx::text {

/// One of tokenizer.json's added_tokens, or a control or user-defined token of a GGUF file.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // steers the model: not recognised in text that may not hold markers
  bool single_word = false;  // only where no word character stands next to it
  bool lstrip = false;       // takes the white space before it, or after it, along
  bool rstrip = false;
  bool normalized = false;  // looked for after the normalizer ran
};

/// Finds added tokens: the leftmost first, of those that begin there the longest.
class AddedTokens {
 public:
  struct Match {
    size_t begin = 0, end = 0;  // bytes, with the white space that was taken along
    int32_t id = 0;
  };

  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  /// Appends the matches in `text`, none overlapping. Without `special` those tokens are passed
  /// over. Throws input error when long tokens that begin everywhere and end nowhere spend the
  /// budget.
  void find(std::string_view text, bool special, std::vector<Match>& matches,
            StepBudget& budget) const;

  bool empty() const noexcept { return tokens_.empty(); }

 private:
  struct Node {
    int32_t token = -1;  // index of the token that ends here
    std::vector<std::pair<unsigned char, uint32_t>> next;
  };
  const AddedToken* longest_at(std::string_view text, bool special, StepBudget& budget) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<uint32_t, 256> first_{};  // node after a first byte; 0: none begins so
};

}  // namespace ktx::text
