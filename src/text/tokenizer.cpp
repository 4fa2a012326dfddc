// Building a tokenizer from its parts, encoding and decoding.
#include "text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "core/base/error.hpp"
#include "text/byte_alphabet.hpp"

namespace ktx::text {

namespace {

constexpr size_t longest_cached = 64;  // bytes; longer pieces hardly come twice

// End-of-reply tokens of published models, where a file names only one of them as eos.
constexpr std::array<std::string_view, 12> stop_names{
    "<｜end▁of▁sentence｜>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>",
    "<|endoftext|>",         "<|EOT|>",    "<|return|>", "[EOS]",      "<|end_of_turn|>", "</s>",
};

bool is_marker(std::string_view text) {
  const auto between = [&](std::string_view begin, std::string_view end) {
    return text.size() > begin.size() + end.size() && text.starts_with(begin) &&
           text.ends_with(end);
  };
  return between("<|", "|>") || between("<｜", "｜>") || text == "[INST]" || text == "[/INST]" ||
         text == "<s>" || text == "</s>";
}

std::string in_quotes(std::string_view text) {
  return "'" + std::string(text) + "'";
}

}  // namespace

// What encode() carries from stretch to stretch.
struct Tokenizer::Work {
  StepBudget budget;
  std::vector<int32_t> ids;
  std::string pending;  // text that no added token has cut yet
  std::unordered_map<std::string, std::pair<size_t, size_t>> seen;  // piece -> where in `ids`
  std::string key, buffer;
  std::vector<Span> pieces;
  std::vector<int32_t> symbols;
};

Tokenizer::Tokenizer(TokenizerParts parts, const std::string& where)
    : bpe_(parts.merges.size()),
      pre_tokenizer_(std::move(parts.pre_tokenizer)),
      normalizers_(std::move(parts.normalizers)),
      ignore_merges_(parts.ignore_merges),
      unknown_(parts.unknown),
      bos_(parts.bos),
      eos_(parts.eos),
      add_bos_(parts.add_bos),
      chat_template_(std::move(parts.chat_template)) {
  take_tokens(parts, where);
  take_merges(parts, where);
  const auto is_known = [&](std::optional<int32_t> id) {
    return !id || (*id >= 0 && *id < vocab_size());
  };
  require(is_known(unknown_) && is_known(bos_) && is_known(eos_) &&
              std::all_of(parts.further_stops.begin(), parts.further_stops.end(), is_known),
          "a reader of tokenizers must check ids against the vocabulary");
  if (add_bos_ && !bos_) throw_input("the tokenizer adds a bos token but names none", where);
  take_stops(parts);

  size_t bytes = 0;
  for (const auto& token : parts.added) bytes += token.content.size();
  auto budget = StepBudget::for_text(bytes);
  std::vector<AddedToken> raw, normalized;
  for (auto& token : parts.added) {
    token.special = is_special(token.id);
    if (token.normalized) token.content = normal_form(token.content, budget);
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  raw_added_ = AddedTokens(std::move(raw));
  normalized_added_ = AddedTokens(std::move(normalized));
}

void Tokenizer::take_tokens(TokenizerParts& parts, const std::string& where) {
  for (const auto& token : parts.added) {
    if (token.content.empty())
      throw_input("added token " + std::to_string(token.id) + " is empty", where);
    const auto id = static_cast<size_t>(token.id);
    if (id >= parts.tokens.size()) parts.tokens.resize(id + 1);
    parts.tokens[id] = token.content;
    added_ids_[token.content] = token.id;
  }
  if (parts.tokens.empty()) throw_input("the vocabulary is empty", where);
  std::vector<uint8_t> is_added(parts.tokens.size());
  special_.resize(parts.tokens.size());
  for (const auto& token : parts.added) {
    is_added[static_cast<size_t>(token.id)] = 1;
    if (token.special || is_marker(token.content)) special_[static_cast<size_t>(token.id)] = 1;
  }
  offsets_.reserve(parts.tokens.size() + 1);
  ids_.reserve(parts.tokens.size());
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    offsets_.push_back(bytes_.size());
    if (!parts.tokens[id]) continue;
    const std::string& text = *parts.tokens[id];
    const auto raw = is_added[id] ? std::nullopt : from_byte_alphabet(text);
    bytes_ += raw ? *raw : text;
    ids_.emplace(text, static_cast<int32_t>(id));
  }
  offsets_.push_back(bytes_.size());
  byte_ids_.assign(256, -1);
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto found = ids_.find(to_byte_alphabet(std::string(1, static_cast<char>(byte))));
    if (found != ids_.end()) byte_ids_[byte] = found->second;
  }
}

void Tokenizer::take_merges(const TokenizerParts& parts, const std::string& where) {
  const auto id_of = [&](const std::string& text, size_t merge) {
    const auto found = ids_.find(text);
    if (found == ids_.end())
      throw_input("merge " + std::to_string(merge) + " (" + in_quotes(parts.merges[merge].first) +
                      " + " + in_quotes(parts.merges[merge].second) + "): " + in_quotes(text) +
                      " is not in the vocabulary",
                  where);
    return found->second;
  };
  for (size_t i = 0; i < parts.merges.size(); ++i) {
    const auto& [left, right] = parts.merges[i];
    const int32_t left_id = id_of(left, i), right_id = id_of(right, i);
    bpe_.add(left_id, right_id, id_of(left + right, i));
  }
}

void Tokenizer::take_stops(const TokenizerParts& parts) {
  const auto add = [&](int32_t id) {
    special_[static_cast<size_t>(id)] = 1;
    if (std::find(stop_ids_.begin(), stop_ids_.end(), id) == stop_ids_.end())
      stop_ids_.push_back(id);
  };
  if (bos_) special_[static_cast<size_t>(*bos_)] = 1;
  if (eos_) add(*eos_);
  for (const int32_t id : parts.further_stops) add(id);
  for (const auto name : stop_names)
    if (const auto id = added_token(name)) add(*id);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  const TextPart part{text, parse_special};
  return encode(std::span(&part, 1));
}

std::vector<int32_t> Tokenizer::encode(std::span<const TextPart> parts) const {
  size_t bytes = 0;
  for (const auto& part : parts) bytes += part.text.size();
  Work work{StepBudget::for_text(bytes)};
  for (const auto& part : parts) cut_added(part, work);
  encode_pending(work);
  return std::move(work.ids);
}

void Tokenizer::cut_added(const TextPart& part, Work& work) const {
  std::vector<AddedTokens::Match> matches;
  raw_added_.find(part.text, part.parse_special, matches, work.budget);
  size_t at = 0;
  for (const auto& m : matches) {
    cut_normalized(part.text.substr(at, m.begin - at), part.parse_special, work);
    encode_pending(work);
    work.ids.push_back(m.id);
    at = m.end;
  }
  cut_normalized(part.text.substr(at), part.parse_special, work);
}

std::string Tokenizer::normal_form(std::string_view text, StepBudget& budget) const {
  constexpr uint64_t steps_per_byte = 3;
  std::string normal(text);
  for (const auto form : normalizers_) {
    budget.pay(steps_per_byte * normal.size(), "normalising the text");
    normal = normalize(normal, form);
  }
  return normal;
}

void Tokenizer::cut_normalized(std::string_view text, bool parse_special, Work& work) const {
  std::string normal;
  if (!normalizers_.empty()) text = normal = normal_form(text, work.budget);
  std::vector<AddedTokens::Match> matches;
  normalized_added_.find(text, parse_special, matches, work.budget);
  size_t at = 0;
  for (const auto& m : matches) {
    work.pending += text.substr(at, m.begin - at);
    encode_pending(work);
    work.ids.push_back(m.id);
    at = m.end;
  }
  work.pending += text.substr(at);
}

void Tokenizer::encode_pending(Work& work) const {
  if (work.pending.empty()) return;
  work.pieces.clear();
  const std::string_view text =
      pre_tokenizer_.split(work.pending, work.buffer, work.pieces, work.budget);
  auto& ids = work.ids;
  for (const auto& [begin, end] : work.pieces) {
    const std::string_view piece = text.substr(begin, end - begin);
    if (piece.size() > longest_cached) {
      encode_piece(piece, work.symbols);
      ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
      continue;
    }
    work.key = piece;
    const auto [seen, is_new] = work.seen.try_emplace(work.key);
    if (!is_new) {
      const auto [from, count] = seen->second;
      for (size_t i = 0; i < count; ++i) ids.push_back(ids[from + i]);
      continue;
    }
    encode_piece(piece, work.symbols);
    seen->second = {ids.size(), work.symbols.size()};
    ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  }
  work.pending.clear();
}

void Tokenizer::encode_piece(std::string_view piece, std::vector<int32_t>& ids) const {
  ids.clear();
  if (ignore_merges_) {
    const auto whole = ids_.find(to_byte_alphabet(piece));
    if (whole != ids_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0 && !unknown_)
      throw_input("the text has the byte " + std::to_string(static_cast<unsigned char>(c)) +
                  ", which the vocabulary has no token for");
    ids.push_back(id < 0 ? *unknown_ : id);
  }
  bpe_.merge(ids);
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string out;
  for (const int32_t id : ids) out += token_bytes(id);
  return out;
}

void Tokenizer::check_id(int32_t id) const {
  if (id < 0 || id >= vocab_size())
    throw_input("token id " + std::to_string(id) + " is not in the vocabulary of " +
                std::to_string(vocab_size()));
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  check_id(id);
  const auto i = static_cast<size_t>(id);
  return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

bool Tokenizer::is_special(int32_t id) const noexcept {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)] != 0;
}

std::optional<int32_t> Tokenizer::added_token(std::string_view text) const {
  const auto found = added_ids_.find(std::string(text));
  if (found == added_ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace ktx::text
