// Characters or bytes, whose neighbours are looked up together in the vocabulary; the best merge
// comes from a priority queue.
#include <algorithm>
#include <queue>

#include "core/base/name_map.hpp"
#include "text/byte_alphabet.hpp"
#include "text/piece_encoder.hpp"

namespace ktx::text {

namespace {

constexpr size_t none = ~size_t{0};

// Symbols are stretches of the piece that lie side by side; one that was merged into its left
// neighbour has size 0.
struct Symbol {
  size_t begin = 0, size = 0;
  size_t previous = none, next = none;
};

struct Candidate {
  float score = 0;
  size_t left = 0, right = 0;
  size_t size = 0;                            // of both together when they were looked up
  bool operator<(const Candidate& o) const {  // the queue gives its greatest first
    return score != o.score ? score < o.score : left > o.left;
  }
};

class ScoreEncoder final : public PieceEncoder {
 public:
  ScoreEncoder(const Vocabulary& vocabulary, const AlphabetKind& kind, MergeScores scores)
      : alphabet_(vocabulary.tokens, kind),
        scores_(std::move(scores.scores)),
        split_(vocabulary.tokens.size()),
        whole_pieces_(scores.whole_pieces) {
    const TokenTexts& tokens = vocabulary.tokens;
    for (const int32_t id : scores.split) split_[static_cast<size_t>(id)] = true;
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (!tokens[id] || vocabulary.special[id] != 0) continue;
      const auto bytes = kind.byte_level ? from_byte_alphabet(*tokens[id]) : std::nullopt;
      const std::string& text = bytes ? *bytes : *tokens[id];
      longest_ = std::max(longest_, text.size());
      ids_.emplace(text, static_cast<int32_t>(id));
    }
  }

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    ids.clear();
    if (whole_pieces_)
      if (const auto whole = ids_.find(piece); whole != ids_.end()) {
        ids.push_back(whole->second);
        return;
      }
    Run run{piece, symbols_of(piece), {}, {}};
    merge(run);
    append(run, ids);
  }

 private:
  struct Run {
    std::string_view piece;
    std::vector<Symbol> symbols;
    std::priority_queue<Candidate> queue;
    base::NameMap<size_t, std::string_view> cuts;  // tokens to split -> bytes of their left
  };

  std::vector<Symbol> symbols_of(std::string_view piece) const {
    std::vector<Symbol> symbols;
    for (size_t at = 0; at < piece.size();) {
      const size_t size = alphabet_.first_size(piece.substr(at));
      const size_t index = symbols.size();
      const bool last = at + size == piece.size();
      symbols.push_back({at, size, index == 0 ? none : index - 1, last ? none : index + 1});
      at += size;
    }
    return symbols;
  }

  void consider(Run& run, size_t left, size_t right) const {
    if (left == none || right == none) return;
    const Symbol &l = run.symbols[left], &r = run.symbols[right];
    const size_t size = l.size + r.size;
    if (size > longest_) return;
    const auto text = run.piece.substr(l.begin, size);
    const auto found = ids_.find(text);
    if (found == ids_.end()) return;
    const auto id = static_cast<size_t>(found->second);
    run.queue.push({scores_[id], left, right, size});
    if (split_[id]) run.cuts[text] = l.size;
  }

  void merge(Run& run) const {
    for (size_t i = 0; i + 1 < run.symbols.size(); ++i) consider(run, i, i + 1);
    while (!run.queue.empty()) {
      const Candidate best = run.queue.top();
      run.queue.pop();
      Symbol &left = run.symbols[best.left], &right = run.symbols[best.right];
      // Out of date when one of the two was merged before.
      if (left.size == 0 || right.size == 0 || left.size + right.size != best.size) continue;
      left.size = best.size;
      left.next = right.next;
      right.size = 0;
      if (left.next != none) run.symbols[left.next].previous = best.left;
      consider(run, left.previous, best.left);
      consider(run, best.left, left.next);
    }
  }

  // Appends the tokens of the symbols; neighbours that are none go to the alphabet together, which
  // knows their bytes and makes one unknown token of them.
  void append(const Run& run, std::vector<int32_t>& ids) const {
    size_t begin = 0, end = 0;  // of what has no token
    const auto settle = [&] {
      alphabet_.append(run.piece.substr(begin, end - begin), ids);
      begin = end;
    };
    for (size_t i = run.symbols.empty() ? none : 0; i != none; i = run.symbols[i].next) {
      const Symbol& symbol = run.symbols[i];
      const auto text = run.piece.substr(symbol.begin, symbol.size);
      if (ids_.find(text) != ids_.end()) {
        settle();
        append_token(run, text, ids);
        begin = symbol.begin + symbol.size;
      }
      end = symbol.begin + symbol.size;
    }
    settle();
  }

  void append_token(const Run& run, std::string_view text, std::vector<int32_t>& ids) const {
    const int32_t id = ids_.find(text)->second;
    const auto cut = split_[static_cast<size_t>(id)] ? run.cuts.find(text) : run.cuts.end();
    if (cut == run.cuts.end()) {
      ids.push_back(id);
      return;
    }
    for (const auto half : {text.substr(0, cut->second), text.substr(cut->second)})
      if (ids_.find(half) != ids_.end())
        append_token(run, half, ids);
      else
        alphabet_.append(half, ids);
  }

  Alphabet alphabet_;
  std::vector<float> scores_;
  std::vector<bool> split_;
  bool whole_pieces_;
  base::NameMap<int32_t> ids_;  // by the bytes that they spell
  size_t longest_ = 0;
};

}  // namespace

std::shared_ptr<const PieceEncoder> encode_by_scores(const Vocabulary& vocabulary,
                                                     const AlphabetKind& kind, MergeScores scores) {
  return std::make_shared<ScoreEncoder>(vocabulary, kind, std::move(scores));
}

}  // namespace ktx::text
