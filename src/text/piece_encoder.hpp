// The model of a tokenizer: turns a piece of text into tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/alphabet.hpp"

namespace ktx::text {

struct Vocabulary {
  TokenTexts tokens;
  std::vector<uint8_t> special;  // by id: not what text becomes, unless a rule says so
};

/// Immutable; const use is thread-safe.
class PieceEncoder {
 public:
  virtual ~PieceEncoder() = default;

  /// Puts the piece's tokens in place of what `ids` holds. n bytes take O(n log n). Throws input
  /// error for what has no token, when there is no unknown one.
  virtual void encode(std::string_view piece, std::vector<int32_t>& ids) const = 0;
};

/// Pairs of tokens that become one, best first: tokenizer.json's BPE and GGUF's gpt2.
struct MergeRules {
  std::vector<std::pair<std::string, std::string>> pairs;
  bool ignore_merges = false;  // a piece that is a token is that token, whatever the rules say
};

/// Throws input error for a rule of tokens that are not in the vocabulary.
std::shared_ptr<const PieceEncoder> encode_by_rules(const Vocabulary& vocabulary,
                                                    const AlphabetKind& kind,
                                                    const MergeRules& rules,
                                                    const std::string& where);

/// Neighbours become one when they spell a token, that of the highest score first: SentencePiece's
/// BPE and tiktoken.
struct MergeScores {
  std::vector<float> scores;   // by id
  std::vector<int32_t> split;  // tokens that only lead to others: split again when they are left
  bool whole_pieces = false;   // a piece that is a token is that token
};

std::shared_ptr<const PieceEncoder> encode_by_scores(const Vocabulary& vocabulary,
                                                     const AlphabetKind& kind, MergeScores scores);

}  // namespace ktx::text
