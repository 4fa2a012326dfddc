// Characters or bytes, then merges by rules.
#include "core/base/error.hpp"
#include "core/base/name_map.hpp"
#include "text/bpe.hpp"
#include "text/byte_alphabet.hpp"
#include "text/piece_encoder.hpp"

namespace ktx::text {

namespace {

using Ids = base::NameMap<int32_t>;

std::string in_quotes(std::string_view text) {
  return "'" + std::string(text) + "'";
}

class RuleEncoder final : public PieceEncoder {
 public:
  RuleEncoder(const Vocabulary& vocabulary, const AlphabetKind& kind, const MergeRules& rules,
              const std::string& where)
      : alphabet_(vocabulary.tokens, kind), byte_level_(kind.byte_level), bpe_(rules.pairs.size()) {
    const TokenTexts& tokens = vocabulary.tokens;
    Ids ids;
    ids.reserve(tokens.size());
    for (size_t id = 0; id < tokens.size(); ++id)
      if (tokens[id]) ids.emplace(*tokens[id], static_cast<int32_t>(id));
    for (size_t i = 0; i < rules.pairs.size(); ++i) add_rule(rules, i, ids, where);
    if (!rules.ignore_merges) return;
    std::erase_if(ids, [&](const auto& token) {
      return vocabulary.special[static_cast<size_t>(token.second)] != 0;
    });
    whole_ = std::move(ids);
  }

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    ids.clear();
    if (!whole_.empty()) {
      const auto whole = whole_.find(byte_level_ ? to_byte_alphabet(piece) : std::string(piece));
      if (whole != whole_.end()) {
        ids.push_back(whole->second);
        return;
      }
    }
    alphabet_.append(piece, ids);
    bpe_.merge(ids);
  }

 private:
  void add_rule(const MergeRules& rules, size_t index, const Ids& ids, const std::string& where) {
    const auto &left = rules.pairs[index].first, &right = rules.pairs[index].second;
    const auto id_of = [&](const std::string& text) {
      const auto found = ids.find(text);
      if (found == ids.end())
        throw_input("merge " + std::to_string(index) + " (" + in_quotes(left) + " + " +
                        in_quotes(right) + "): " + in_quotes(text) + " is not in the vocabulary",
                    where);
      return found->second;
    };
    const int32_t left_id = id_of(left), right_id = id_of(right);
    bpe_.add(left_id, right_id, id_of(left + right));
  }

  Alphabet alphabet_;
  bool byte_level_;
  Bpe bpe_;
  Ids whole_;  // tokens that whole pieces become; empty unless merges are ignored for them
};

}  // namespace

std::shared_ptr<const PieceEncoder> encode_by_rules(const Vocabulary& vocabulary,
                                                    const AlphabetKind& kind,
                                                    const MergeRules& rules,
                                                    const std::string& where) {
  return std::make_shared<RuleEncoder>(vocabulary, kind, rules, where);
}

}  // namespace ktx::text
