// The table of the pre-tokenizers that GGUF files name.
#include "text/gguf_pretokenizers.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::text {

namespace {

// DeepSeek-LLM's cased letters. Some copies of this set went through NFC, which turned the ends
// 1F7D, 1FBE, 1FD3, 1FDB, 2126 and 212A into other letters, two ranges into falling ones, and one
// into all that is between K and 212D.
constexpr const char* deepseek_llm_letters =
    R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"
    R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386})"
    R"(\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F})"
    R"(\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA})"
    R"(\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15})"
    R"(\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})"
    R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"
    R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124})"
    R"(\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})"
    R"(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F})"
    R"(\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"
    R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3})"
    R"(\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF})"
    R"(\x{1E900}-\x{1E943})";

// What many patterns are put together from.
constexpr const char* contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
constexpr const char* letters = R"([^\r\n\p{L}\p{N}]?\p{L}+|)";
constexpr const char* spaces = R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* rest = R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kana_and_han = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
// DeepSeek-V3's: a sign with the ASCII letters behind it, words, signs.
constexpr const char* deepseek_words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+)";
constexpr const char* poro = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const auto part : parts) out += part;
  return out;
}

// Llama-3's, with other numbers.
std::string llama3_like(std::string_view numbers) {
  return join({contractions, "|", letters, numbers, "|", rest});
}

// Words cut before capitals. `upper` and `lower` are sets of characters.
std::string cased_words(std::string_view upper, std::string_view lower, std::string_view suffix) {
  constexpr const char* before = R"([^\r\n\p{L}\p{N}]?)";
  return join(
      {before, upper, "*", lower, "+", suffix, "|", before, upper, "+", lower, "*", suffix, "|"});
}

// GPT-4o's, with other numbers.
std::string gpt4o_like(std::string_view numbers, std::string_view suffix) {
  return join(
      {cased_words(R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])", R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])", suffix),
       numbers, R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|)", spaces});
}

std::string kimi_words() {
  return join(
      {R"(\p{Han}+|)",
       cased_words(R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]])",
                   R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]])", std::string(contractions) + "?"),
       R"(\p{N}{1,3}|)", rest});
}

std::vector<GgufPreTokenizer> general_rows() {
  return {
      {{"default"}, {R"([\p{P}\$\+<=>\^~\|]+)", gpt2_pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      {{"gpt-2",       "gpt2",       "phi-2",           "olmo",        "jina-es",
        "jina-de",     "jina-v2-es", "jina-v2-de",      "a.x-4.0",     "mellum",
        "modern-bert", "jina-v1-en", "jina-v2-code",    "roberta-bpe", "mpt",
        "jais",        "trillion",   "granite-docling", "exaone4",     "gigachat"},
       {gpt2_pattern}},
      {{"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
        "mellum2"},
       {R"(\p{N})", gpt2_pattern}},
      {{"falcon"}, {R"([\p{P}\$\+<=>\^~\|`]+)", gpt2_pattern, "[0-9][0-9][0-9]"}},
      {{"poro-chat", "bloom", "gpt3-finnish"}, {poro}},
      {{"viking"}, {poro, R"(\p{N})"}},
      {{"chameleon"},
       {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", R"(([\t\n]|    |  ))",
        R"(\p{N})", R"([\p{P}!-/:-@\[-`{-~])", gpt2_pattern}},
  };
}

std::vector<GgufPreTokenizer> llama_rows() {
  return {
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "jina-v5-nano"},
       {llama3_like(R"(\p{N}{1,3})")},
       true,
       true},
      {{"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, {llama3_like(R"(\p{N}{1,3})")}},
      {{"minicpm5"}, {R"(\p{N}{1,3})", llama3_like(R"(\p{N}+)")}, true},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "f2llmv2", "hunyuan",
        "solar-open", "grok-2"},
       {llama3_like(R"(\p{N})")}},
      {{"laguna"}, {R"([^\n]+|[\n]+)", llama3_like(R"(\p{N})")}},
      {{"ufakzeka"}, {join({letters, R"(\p{N}|)", rest})}},
      {{"qwen35"},
       {join({contractions, R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+)",
              R"([\r\n]*|)", spaces})}},
      {{"seed-coder"},
       {join({contractions, "|", letters, R"(\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)", spaces})}},
      {{"bailingmoe", "bailingmoe2", "llada-moe"},
       {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
        R"(|\s*[\r\n]|\s+(?!\S)|\s+)"}},
      {{"exaone-moe"},
       {join({contractions, R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N})",
              R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"})}},
  };
}

std::vector<GgufPreTokenizer> gpt4o_rows() {
  const std::string suffix = std::string(contractions) + "?";
  return {
      {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"},
       {gpt4o_like(R"(\p{N}{1,3})", suffix)}},
      {{"tekken"}, {gpt4o_like(R"(\p{N})", "")}, true, true},
      {{"youtu"},
       {R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019})"
        R"(\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+)"
        R"(|[\x{3105}-\x{312F}]+|)" +
            std::string(kana_and_han),
        gpt4o_like(R"(\p{N})", suffix)},
       true},
      {{"tiny_aya", "cohere2moe"},  // digits in threes from the right, if no letter follows
       {R"((?<!\d)\d{1,3}(?=(?:\d{3})*\b)|(?<=\d)\G\d{3})", gpt4o_like(R"(\p{N}{1,3})", suffix)}},
      {{"kimi-k2"}, {kimi_words()}},
  };
}

std::vector<GgufPreTokenizer> deepseek_rows() {
  return {
      {{"deepseek-llm"},
       {R"([\r\n])", std::string(R"(\s?[)") + deepseek_llm_letters + "]+",
        R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)",
        R"(\s+$)", R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)", R"(\p{N})"}},
      {{"deepseek-coder"},
       {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
        R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)", R"(\p{N})"}},
      {{"deepseek-v3", "deepseek-v3.1", "hunyuan-dense", "joyai-llm", "hy_v4"},
       {R"(\p{N}{1,3})", kana_and_han, join({deepseek_words, R"([\r\n]*|)", spaces})}},
      {{"spark2_5"},
       {R"(\p{N}{1,3})", kana_and_han, join({deepseek_words, R"(|[\r\n]|\s+(?!\S)|\s+)"}),
        R"(\p{N})"}},
      {{"afmoe"},  // numbers in threes from the right
       {R"((?<!\p{N})\p{N}{1,2}(?=(?:\p{N}{3})*(?!\p{N}))|\p{N}{3})",
        R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF})"
        R"(\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF})"
        R"(\x{1000}-\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF})"
        R"(\x{1100}-\x{11FF}]+)",
        join({deepseek_words, R"([\r\n]*|)", spaces})}},
  };
}

std::vector<GgufPreTokenizer> make_table() {
  std::vector<GgufPreTokenizer> table;
  for (auto rows : {general_rows(), llama_rows(), gpt4o_rows(), deepseek_rows()})
    table.insert(table.end(), rows.begin(), rows.end());
  return table;
}

}  // namespace

std::span<const GgufPreTokenizer> gguf_pretokenizers() {
  static const std::vector<GgufPreTokenizer> table = make_table();
  return table;
}

const GgufPreTokenizer* find_gguf_pretokenizer(std::string_view name) noexcept {
  for (const auto& row : gguf_pretokenizers())
    if (std::ranges::find(row.names, name) != row.names.end()) return &row;
  return nullptr;
}

const GgufPreTokenizer& gguf_pretokenizer(std::string_view name, const std::string& where) {
  if (const auto* row = find_gguf_pretokenizer(name)) return *row;
  std::vector<std::string> names;
  for (const auto& row : gguf_pretokenizers())
    names.insert(names.end(), row.names.begin(), row.names.end());
  auto notes = base::suggestions(name, names, "pre-tokenizers");
  notes.emplace_back(
      "--tokenizer PATH takes another tokenizer, such as the model's tokenizer.json");
  throw_input("unknown pre-tokenizer '" + std::string(name) + "' (tokenizer.ggml.pre)", where,
              std::move(notes));
}

}  // namespace ktx::text
