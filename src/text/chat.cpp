// The table of chat formats, and rendering by a row of it.
#include "text/chat.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

namespace {

struct Row {
  ChatFormat format;
  std::vector<std::string_view> signs;  // all must be in the template; \n is spelled out there
  std::string_view token;  // recognises the format when there is no template; empty: can't
  bool model_bos = false;  // bos and end are the model's own bos and eos tokens when it has them
  bool model_end = false;
  bool bos_if_used = false;  // bos when the template speaks of it
};

// The first row whose signs are all there wins, so that the more particular come first.
std::vector<Row> make_deepseek_rows() {
  ChatFormat v2{.name = "deepseek-v2",
                .bos = "<｜begin▁of▁sentence｜>",
                .system_prefix = "",
                .system_suffix = "\n\n",
                .user_prefix = "User: ",
                .user_suffix = "\n\n",
                .assistant_prefix = "Assistant: ",
                .end = "<｜end▁of▁sentence｜>",
                .opening = "Assistant:"};
  ChatFormat v3{.name = "deepseek-v3",
                .bos = "<｜begin▁of▁sentence｜>",
                .user_prefix = "<｜User｜>",
                .assistant_prefix = "<｜Assistant｜>",
                .end = "<｜end▁of▁sentence｜>",
                .opening = "<｜Assistant｜>",
                .system = SystemPlace::before_all};
  ChatFormat v3_in_order = v3;  // a plain spelling, with the system's words where they stand
  v3_in_order.system = SystemPlace::in_order;
  v3_in_order.system_suffix = "\n\n";
  ChatFormat hybrid = v3;  // V3.1: replies without thinking begin with the end of it
  hybrid.name = "deepseek-v3.1";
  hybrid.assistant_prefix = hybrid.opening = "<｜Assistant｜></think>";
  hybrid.drop_reasoning = true;
  ChatFormat r1 = v3;
  r1.name = "deepseek-r1";
  r1.drop_reasoning = true;
  ChatFormat r1_think = r1;  // later files force the thinking
  r1_think.opening = "<｜Assistant｜><think>\n";
  return {
      {v2, {"'User: '", "'Assistant: '"}, "", true, true},
      {hybrid, {"<｜User｜>", "</think>", "if not thinking"}, "", true, true},
      {r1_think, {"<｜User｜>", "</think>", "<｜Assistant｜><think>\\n"}, "", true, true},
      {r1, {"<｜User｜>", "</think>"}, "", true, true},
      {v3_in_order, {"<｜User｜>", "['content'] + '\\n\\n'"}, "", true, true},
      {v3, {"<｜User｜>"}, "<｜User｜>", true, true},
  };
}

std::vector<Row> make_other_rows() {
  ChatFormat chatml{.name = "chatml",
                    .system_prefix = "<|im_start|>system\n",
                    .system_suffix = "<|im_end|>\n",
                    .user_prefix = "<|im_start|>user\n",
                    .user_suffix = "<|im_end|>\n",
                    .assistant_prefix = "<|im_start|>assistant\n",
                    .end = "<|im_end|>",
                    .after_end = "\n",
                    .opening = "<|im_start|>assistant\n"};
  ChatFormat chatml_thinking = chatml;
  chatml_thinking.drop_reasoning = chatml_thinking.drop_newlines = true;
  ChatFormat llama3{.name = "llama-3",
                    .bos = "<|begin_of_text|>",
                    .system_prefix = "<|start_header_id|>system<|end_header_id|>\n\n",
                    .system_suffix = "<|eot_id|>",
                    .user_prefix = "<|start_header_id|>user<|end_header_id|>\n\n",
                    .user_suffix = "<|eot_id|>",
                    .assistant_prefix = "<|start_header_id|>assistant<|end_header_id|>\n\n",
                    .end = "<|eot_id|>",
                    .opening = "<|start_header_id|>assistant<|end_header_id|>\n\n",
                    .trim = true};
  ChatFormat kimi{.name = "kimi-k2",
                  .system_prefix = "<|im_system|>system<|im_middle|>",
                  .system_suffix = "<|im_end|>",
                  .user_prefix = "<|im_user|>user<|im_middle|>",
                  .user_suffix = "<|im_end|>",
                  .assistant_prefix = "<|im_assistant|>assistant<|im_middle|>",
                  .end = "<|im_end|>",
                  .opening = "<|im_assistant|>assistant<|im_middle|>"};
  ChatFormat mixtral{.name = "mixtral",
                     .bos = "<s>",
                     .user_prefix = "[INST] ",
                     .user_suffix = " [/INST]",
                     .end = "</s>",
                     .system = SystemPlace::in_first_user};
  ChatFormat mixtral_spaced = mixtral;  // the later spelling: a space before every turn
  mixtral_spaced.user_prefix = " [INST] ";
  mixtral_spaced.assistant_prefix = " ";
  return {
      {kimi, {"<|im_user|>", "<|im_middle|>"}, "<|im_user|>"},
      {chatml_thinking, {"<|im_start|>", "</think>"}, "", false, false, true},
      {chatml, {"<|im_start|>"}, "<|im_start|>", false, false, true},
      {llama3, {"<|start_header_id|>"}, "<|start_header_id|>", true},
      {mixtral_spaced, {" [INST] ", "bos_token"}, "", true, true},
      {mixtral, {"[INST]", "bos_token"}, "", true, true},
  };
}

const std::vector<Row>& rows() {
  static const std::vector<Row> table = [] {
    auto all = make_deepseek_rows();
    auto others = make_other_rows();
    all.insert(all.end(), others.begin(), others.end());
    return all;
  }();
  return table;
}

// Templates of other formats that have a sign of ours.
bool is_foreign(std::string_view chat_template) {
  return chat_template.find("<<SYS>>") != std::string_view::npos;  // Llama-2
}

// What the template says for the system when the conversation doesn't: text between the system's
// markers that is no expression.
std::string default_system_of(const ChatFormat& format, std::string_view chat_template) {
  std::string text;
  for (size_t i = 0; i < chat_template.size(); ++i) {
    const bool newline = chat_template.substr(i, 2) == "\\n";
    text += newline ? '\n' : chat_template[i];
    if (newline) ++i;
  }
  if (format.system_prefix.empty()) return {};
  constexpr size_t longest = 4096;  // keeps templates that repeat the prefix from taking long
  for (size_t at = text.find(format.system_prefix); at != std::string::npos;
       at = text.find(format.system_prefix, at + 1)) {
    const auto after = std::string_view(text).substr(at + format.system_prefix.size(), longest);
    const auto found = after.substr(0, after.find(format.end));
    if (!found.empty() && found.size() < after.size() &&
        found.find_first_of("'\"{}") == std::string::npos)
      return std::string(found);
  }
  return {};
}

ChatFormat filled(const Row& row, std::string_view chat_template, std::string_view bos,
                  std::string_view eos) {
  ChatFormat format = row.format;
  if (row.model_bos && !bos.empty()) format.bos = bos;
  if (row.model_end && !eos.empty()) format.end = eos;
  if (row.bos_if_used && chat_template.find("bos_token") != std::string_view::npos)
    format.bos = bos;
  format.default_system = default_system_of(format, chat_template);
  return format;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty()) {
    const auto step = utf8_step(text);
    if (step.kind != Utf8Step::valid || !is_space(step.codepoint)) break;
    text.remove_prefix(step.size);
  }
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && text.size() - begin < 4 &&
           (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80)
      --begin;
    const auto step = utf8_step(text.substr(begin));
    if (step.kind != Utf8Step::valid || !is_space(step.codepoint)) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

// Collects markers and contents, in order.
class Writer {
 public:
  explicit Writer(const ChatFormat& format) : format_(format) {}

  void begin(std::span<const ChatMessage> messages) {
    marker(format_.bos);
    const bool told = !messages.empty() && messages[0].role == ChatMessage::Role::system;
    if (!told && !format_.default_system.empty()) {
      marker(format_.system_prefix);
      content(format_.default_system);
      marker(format_.system_suffix);
    }
    if (format_.system == SystemPlace::in_order) return;
    std::string all;
    for (const auto& m : messages) {
      if (m.role != ChatMessage::Role::system) continue;
      if (!all.empty()) all += "\n\n";
      all += m.content;
    }
    if (format_.system == SystemPlace::in_first_user)
      for_first_user_ = std::move(all);
    else
      content(std::move(all));
  }

  void turns(std::span<const ChatMessage> messages) {
    for (const auto& m : messages) turn(m);
    if (!for_first_user_.empty())
      throw_input("chat format " + format_.name +
                      " puts the system's words in the first user message, and there is none",
                  "chat");
  }

  void marker(std::string text) {
    if (!text.empty()) parts_.push_back({std::move(text), true});
  }

  const std::vector<std::pair<std::string, bool>>& parts() const { return parts_; }

 private:
  void content(std::string text) {
    if (!text.empty()) parts_.emplace_back(std::move(text), false);
  }

  void turn(const ChatMessage& message) {
    std::string text = message.content;
    switch (message.role) {
      case ChatMessage::Role::system:
        if (format_.system != SystemPlace::in_order) return;  // begin() has placed it
        marker(format_.system_prefix);
        content(cleaned(std::move(text)));
        marker(format_.system_suffix);
        return;
      case ChatMessage::Role::user:
        if (!for_first_user_.empty()) text = std::exchange(for_first_user_, {}) + "\n\n" + text;
        marker(format_.user_prefix);
        content(cleaned(std::move(text)));
        marker(format_.user_suffix);
        return;
      case ChatMessage::Role::assistant:
        marker(format_.assistant_prefix);
        content(cleaned(reply(std::move(text))));
        marker(format_.end);
        marker(format_.after_end);
    }
  }

  std::string cleaned(std::string text) const {
    return format_.trim ? std::string(trimmed(text)) : text;
  }

  std::string reply(std::string text) const {
    const size_t thought = text.rfind("</think>");
    if (format_.drop_reasoning && thought != std::string::npos) {
      text.erase(0, thought + std::string_view("</think>").size());
      if (format_.drop_newlines) text.erase(0, text.find_first_not_of('\n'));
    }
    if (format_.assistant_prefix.ends_with(' ') && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }

  const ChatFormat& format_;
  std::string for_first_user_;
  std::vector<std::pair<std::string, bool>> parts_;  // text, is it a marker
};

std::vector<int32_t> encode_parts(const Tokenizer& tokenizer, const Writer& writer) {
  std::vector<TextPart> parts;
  for (const auto& [text, is_marker] : writer.parts()) parts.push_back({text, is_marker});
  return tokenizer.encode(parts);
}

Writer written(const ChatFormat& format, std::span<const ChatMessage> messages, bool opening) {
  Writer writer(format);
  writer.begin(messages);
  writer.turns(messages);
  if (opening) writer.marker(format.opening);
  return writer;
}

}  // namespace

std::optional<ChatFormat> detect_chat_format(std::string_view chat_template, std::string_view bos,
                                             std::string_view eos) {
  if (is_foreign(chat_template)) return std::nullopt;
  for (const auto& row : rows()) {
    const auto has = [&](std::string_view sign) {
      return chat_template.find(sign) != std::string_view::npos;
    };
    if (std::all_of(row.signs.begin(), row.signs.end(), has))
      return filled(row, chat_template, bos, eos);
  }
  return std::nullopt;
}

std::optional<ChatFormat> detect_chat_format(const Tokenizer& tokenizer) {
  const auto text_of = [&](std::optional<int32_t> id) {
    return id ? tokenizer.token_bytes(*id) : std::string_view();
  };
  const auto bos = text_of(tokenizer.bos()), eos = text_of(tokenizer.eos());
  if (tokenizer.chat_template()) return detect_chat_format(*tokenizer.chat_template(), bos, eos);
  for (const auto& row : rows())
    if (!row.token.empty() && tokenizer.added_token(row.token)) return filled(row, "", bos, eos);
  return std::nullopt;
}

std::vector<std::string> chat_format_names() {
  std::vector<std::string> names;
  for (const auto& row : rows())
    if (std::find(names.begin(), names.end(), row.format.name) == names.end())
      names.push_back(row.format.name);
  return names;
}

std::string render(const ChatFormat& format, std::span<const ChatMessage> messages, bool opening) {
  std::string out;
  const Writer writer = written(format, messages, opening);
  for (const auto& [text, is_marker] : writer.parts()) out += text;
  return out;
}

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatFormat& format,
                                 std::span<const ChatMessage> messages, bool opening) {
  return encode_parts(tokenizer, written(format, messages, opening));
}

}  // namespace ktx::text
