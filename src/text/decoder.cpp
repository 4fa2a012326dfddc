// The steps of a decoder: reading them and running them.
#include "text/decoder.hpp"

#include <limits>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "text/byte_alphabet.hpp"
#include "text/byte_tokens.hpp"
#include "text/fields.hpp"
#include "text/metaspace.hpp"
#include "text/normalizer.hpp"

namespace ktx::text {

std::string_view TextStart::cut(std::string_view bytes) {
  while (strip_count_ > 0 && !bytes.empty()) {
    if (!bytes.starts_with(strip_)) {
      strip_count_ = 0;
      break;
    }
    bytes.remove_prefix(strip_.size());
    --strip_count_;
  }
  if (first_token_only_) strip_count_ = 0;
  return bytes;
}

Decoder Decoder::from_json(const Json& decoder, const std::string& where) {
  Decoder made;
  made.add_json(decoder, where);
  return made;
}

Decoder Decoder::byte_level() {
  Decoder made;
  made.steps_.emplace_back(ByteLevel{});
  return made;
}

Decoder Decoder::sentencepiece(bool space_prefix) {
  Decoder made;
  made.steps_.emplace_back(Replacement(space_mark, " "));
  made.steps_.emplace_back(ByteFallback{});
  made.start_.strip_ = " ";
  made.start_.strip_count_ = space_prefix ? 1 : 0;
  return made;
}

void Decoder::add_json(const Json& step, const std::string& where) {
  expect_object(step, "decoder", where);
  const std::string& type = expect_string(required(step, "type", where), "type", where);
  if (type == "Sequence") {
    for (const auto& s : expect_array(required(step, "decoders", where), "decoders", where))
      add_json(s, where);
  } else if (type == "Fuse") {
    whole_ = true;
  } else if (type == "Strip") {
    add_strip(step, where);
  } else if (whole_) {
    throw_input("decoder of type '" + type + "' behind one that joins the tokens is not supported",
                where);
  } else if (type == "ByteLevel") {
    steps_.emplace_back(ByteLevel{});
    whole_ = true;
  } else if (type == "ByteFallback") {
    steps_.emplace_back(ByteFallback{});
  } else if (type == "Replace") {
    steps_.emplace_back(Replacement::from_json(step, where));
  } else if (type == "Metaspace") {
    add_metaspace(step, where);
  } else {
    throw_input("decoder of type '" + type + "' is not supported", where,
                base::suggestions(type,
                                  {"Sequence", "Fuse", "Strip", "ByteLevel", "ByteFallback",
                                   "Replace", "Metaspace"},
                                  "types"));
  }
}

void Decoder::add_strip(const Json& step, const std::string& where) {
  const auto count = [&](const char* name) {
    const Json& value = required(step, name, where);
    if (!value.is_number_unsigned())
      throw_input("'" + std::string(name) + "': expected a count, found " + base::dump_json(value),
                  where);
    return value.get<size_t>();
  };
  Strip made{expect_string(required(step, "content", where), "content", where), count("start"),
             count("stop")};
  if (made.text.empty()) throw_input("decoder Strip: 'content' is empty", where);
  if (!whole_) {
    steps_.emplace_back(std::move(made));
    return;
  }
  if (made.right > 0 || !start_.strip_.empty())
    throw_input(
        "decoder Strip of the end of a text, or a second of its beginning, is not supported",
        where);
  start_.strip_ = made.text;
  start_.strip_count_ = made.left;
}

void Decoder::add_metaspace(const Json& step, const std::string& where) {
  const Metaspace metaspace = read_metaspace(step, where);
  steps_.emplace_back(Replacement(metaspace.mark, " "));
  if (metaspace.prefix == Metaspace::never) return;
  start_.strip_ = " ";
  start_.strip_count_ = std::numeric_limits<size_t>::max();
  start_.first_token_only_ = true;
}

std::string Decoder::bytes(const std::string& token, StepBudget& budget) const {
  std::string bytes = token;
  for (const auto& step : steps_) {
    budget.pay(1 + bytes.size(), "decoding the vocabulary");
    bytes = std::visit([&](const auto& s) { return run(s, bytes, budget); }, step);
  }
  return bytes;
}

std::string Decoder::run(ByteLevel, const std::string& token, StepBudget&) {
  return from_byte_alphabet(token).value_or(token);
}

std::string Decoder::run(ByteFallback, const std::string& token, StepBudget&) {
  const auto byte = byte_of_token(token);
  return byte ? std::string(1, static_cast<char>(*byte)) : token;
}

std::string Decoder::run(const Replacement& step, const std::string& token, StepBudget& budget) {
  return step.apply(token, budget);
}

std::string Decoder::run(const Strip& step, const std::string& token, StepBudget&) {
  std::string_view rest = token;
  for (size_t i = 0; i < step.left && rest.starts_with(step.text); ++i)
    rest.remove_prefix(step.text.size());
  for (size_t i = 0; i < step.right && rest.ends_with(step.text); ++i)
    rest.remove_suffix(step.text.size());
  return std::string(rest);
}

}  // namespace ktx::text
