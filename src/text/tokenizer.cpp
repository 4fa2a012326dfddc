// Building a tokenizer from its parts, encoding and decoding.
#include "text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/limits.hpp"

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

}  // namespace

// What encode() carries from stretch to stretch.
struct Tokenizer::Work {
  StepBudget budget;
  std::vector<int32_t> ids = {};
  std::vector<TextPart> section = {};                  // stretches that no added token has cut
  std::string pending = {};                            // of the section, normalised
  bool begins = true;                                  // no token stands before the pending text
  base::NameMap<std::pair<size_t, size_t>> seen = {};  // piece -> where in `ids`
  std::string key = {}, buffer = {};
  std::vector<Span> pieces = {};
  std::vector<int32_t> symbols = {};
};

Tokenizer::Tokenizer(TokenizerParts parts, const std::string& where)
    : normalizer_(std::move(parts.normalizer)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)),
      text_start_(parts.decoder.start()),
      bos_(parts.bos),
      eos_(parts.eos),
      add_bos_(parts.add_bos),
      chat_template_(std::move(parts.chat_template)) {
  take_tokens(parts, where);
  const auto is_known = [&](std::optional<int32_t> id) {
    return !id || (*id >= 0 && *id < vocab_size());
  };
  require(is_known(parts.alphabet.unknown) && is_known(bos_) && is_known(eos_) &&
              std::all_of(parts.further_stops.begin(), parts.further_stops.end(), is_known),
          "a reader of tokenizers must check ids against the vocabulary");
  if (add_bos_ && !bos_) throw_input("the tokenizer adds a bos token but names none", where);
  take_stops(parts);
  take_bytes(parts);
  take_encoder(parts, where);
  take_added(parts);
}

void Tokenizer::take_tokens(TokenizerParts& parts, const std::string& where) {
  size_t added_bytes = 0;
  for (const auto& token : parts.added) {
    added_bytes += token.content.size();
    if (token.content.empty())
      throw_input("added token " + std::to_string(token.id) + " is empty", where);
    const auto id = static_cast<size_t>(token.id);
    if (id >= parts.tokens.size()) parts.tokens.resize(id + 1);
    parts.tokens[id] = token.content;
    added_ids_[token.content] = token.id;
  }
  if (added_bytes > static_cast<size_t>(limits::added_bytes))
    throw_input("added tokens: expected at most " + std::to_string(limits::added_bytes) +
                    " bytes in all, found " + std::to_string(added_bytes),
                where);
  if (parts.tokens.empty()) throw_input("the vocabulary is empty", where);
  special_.resize(parts.tokens.size());
  for (const auto& token : parts.added)
    if (token.special || is_marker(token.content)) special_[static_cast<size_t>(token.id)] = 1;
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

// Special tokens are their text, and so are all added ones beside a byte alphabet; the others are
// what the decoder makes of them, those that are looked for in normalised text in that form.
void Tokenizer::take_bytes(const TokenizerParts& parts) {
  size_t size = 0;
  for (const auto& token : parts.tokens) size += 1 + (token ? token->size() : 0);
  auto budget = StepBudget::for_text(size);
  std::vector<const AddedToken*> added(parts.tokens.size());
  for (const auto& token : parts.added) added[static_cast<size_t>(token.id)] = &token;
  offsets_.reserve(parts.tokens.size() + 1);
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    offsets_.push_back(bytes_.size());
    if (!parts.tokens[id]) continue;
    std::string text = *parts.tokens[id];
    const bool is_text = added[id] != nullptr && (parts.alphabet.byte_level || special_[id] != 0);
    if (added[id] != nullptr && added[id]->normalized && special_[id] == 0)
      text = normalizer_.apply(text, {}, budget);
    bytes_ += is_text ? text : parts.decoder.bytes(text, budget);
  }
  offsets_.push_back(bytes_.size());
}

void Tokenizer::take_encoder(TokenizerParts& parts, const std::string& where) {
  const Vocabulary vocabulary{std::move(parts.tokens), special_};
  encoder_ = parts.scores ? encode_by_scores(vocabulary, parts.alphabet, std::move(*parts.scores))
                          : encode_by_rules(vocabulary, parts.alphabet, parts.rules, where);
}

void Tokenizer::take_added(TokenizerParts& parts) {
  size_t bytes = 0;
  for (const auto& token : parts.added) bytes += token.content.size();
  auto budget = StepBudget::for_text(bytes);
  std::vector<AddedToken> raw, normalized;
  for (auto& token : parts.added) {
    token.special = is_special(token.id);
    if (token.normalized) token.content = normalizer_.apply(token.content, {}, budget);
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  raw_added_ = AddedTokens(std::move(raw));
  normalized_added_ = AddedTokens(std::move(normalized));
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
  cut_section(work);
  return std::move(work.ids);
}

void Tokenizer::cut_added(const TextPart& part, Work& work) const {
  std::vector<AddedTokens::Match> matches;
  raw_added_.find(part.text, part.parse_special, matches);
  size_t at = 0;
  const auto add = [&](size_t end) {
    if (end > at) work.section.push_back({part.text.substr(at, end - at), part.parse_special});
  };
  for (const auto& m : matches) {
    add(m.begin);
    cut_section(work);
    work.ids.push_back(m.id);
    work.begins = false;
    at = m.end;
  }
  add(part.text.size());
}

// The normal form is a stretch's own, so that what a message says can't reach into its neighbours.
void Tokenizer::cut_section(Work& work) const {
  for (size_t i = 0; i < work.section.size(); ++i) {
    const auto& [text, parse_special] = work.section[i];
    if (normalizer_.empty()) {
      cut_normalized(text, parse_special, work);
      continue;
    }
    const SectionEnds ends{.first = i == 0, .last = i + 1 == work.section.size()};
    cut_normalized(normalizer_.apply(text, ends, work.budget), parse_special, work);
  }
  encode_pending(work);
  work.section.clear();
}

void Tokenizer::cut_normalized(std::string_view text, bool parse_special, Work& work) const {
  std::vector<AddedTokens::Match> matches;
  normalized_added_.find(text, parse_special, matches);
  size_t at = 0;
  for (const auto& m : matches) {
    work.pending += text.substr(at, m.begin - at);
    encode_pending(work);
    work.ids.push_back(m.id);
    work.begins = false;
    at = m.end;
  }
  work.pending += text.substr(at);
}

void Tokenizer::encode_pending(Work& work) const {
  if (work.pending.empty()) return;
  work.pieces.clear();
  const std::string_view text =
      pre_tokenizer_.split(work.pending, work.buffer, work.pieces, work.budget, work.begins);
  auto& ids = work.ids;
  for (const auto& [begin, end] : work.pieces) {
    const std::string_view piece = text.substr(begin, end - begin);
    if (piece.size() > longest_cached) {
      encoder_->encode(piece, work.symbols);
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
    encoder_->encode(piece, work.symbols);
    seen->second = {ids.size(), work.symbols.size()};
    ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  }
  work.pending.clear();
  work.begins = false;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string out;
  TextStart start = text_start_;
  for (const int32_t id : ids) {
    out += is_special(id) ? token_bytes(id) : start.cut(token_bytes(id));
    if (is_special(id)) start.end();
  }
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
  const auto found = added_ids_.find(text);
  if (found == added_ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace ktx::text
