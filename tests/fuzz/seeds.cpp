// Inputs to begin with, made of files that tests and examples have anyway.
#include <algorithm>
#include <filesystem>
#include <iterator>

#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "fuzz/encode_and_decode.hpp"
#include "fuzz/gguf_lines.hpp"
#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "model/fake.hpp"

namespace ktx::fuzz {

namespace {

namespace fs = std::filesystem;

class Seeds {
 public:
  explicit Seeds(fs::path source) : source_(std::move(source)) {}

  std::vector<Seed> take() && { return std::move(seeds_); }

  void add_models();
  void add_gguf();
  void add_tokenizers();
  void add_rules();
  void add_templates();

 private:
  void add(std::string_view target, std::string name, std::string input, bool good = true) {
    std::ranges::replace(name, '/', '-');
    seeds_.push_back({target, std::move(name), std::move(input), good});
  }
  std::string read(const fs::path& file) const { return base::read_text(source_ / file); }
  Json read_json(const fs::path& file) const { return base::read_json(source_ / file); }
  // Sorted, so that seeds are the same everywhere.
  std::vector<fs::path> files(const fs::path& folder, const char* extension) const {
    std::vector<fs::path> out;
    for (const auto& entry : fs::recursive_directory_iterator(source_ / folder))
      if (entry.path().extension() == extension) out.push_back(entry.path());
    std::ranges::sort(out);
    return out;
  }
  void add_directory(const std::string& name, const std::string& config, const std::string& shard);

  fs::path source_;
  std::vector<Seed> seeds_;
};

// config.json alone; the same with the header of its weights, in one file and behind an index.
void Seeds::add_models() {
  for (const char* group : {"arch", "quantized"})
    for (const auto& file : files(fs::path("tests/data") / group, ".json")) {
      if (file.filename() != "config.json") continue;
      const std::string name = file.parent_path().filename().string();
      const std::string text = base::read_text(file);
      add("config", name, text);
      add_directory(name, text, base::read_text(file.parent_path() / "model.safetensors"));
    }
}

void Seeds::add_directory(const std::string& name, const std::string& config,
                          const std::string& shard) {
  uint64_t size = 0;
  std::copy_n(shard.data(), sizeof size, reinterpret_cast<char*>(&size));
  const std::string header = shard.substr(sizeof size, size);
  Json map = Json::object();
  const Json entries = base::parse_json(header, name);
  for (const auto& [tensor, entry] : entries.items())
    if (tensor != "__metadata__") map[tensor] = "model-00001-of-00001.safetensors";
  const bool good = !name.starts_with("gptq");  // its data are not zeros
  add("safetensors", name, input_of({{"config.json", config}, {"model.safetensors", header}}),
      good);
  add("safetensors", name + "-index",
      input_of({{"config.json", config},
                {"model.safetensors.index.json", base::dump_json({{"weight_map", map}})},
                {"model-00001-of-00001.safetensors", header}}),
      good);
}

std::string word_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  if (!value.is_string()) return base::dump_json(value);
  std::string out;
  for (const char c : value.get<std::string>()) out += c == '\n' ? "\\n" : std::string(1, c);
  return out;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// Metadata as lines of gguf_lines.hpp.
std::string lines_of(const Json& metadata) {
  std::string out;
  for (const auto& [key, value] : metadata.items()) {
    const auto& first = value.is_array() && !value.empty() ? value[0] : value;
    const char* type = first.is_boolean()          ? "bool"
                       : first.is_number_float()   ? "f32"
                       : first.is_number_integer() ? "i32"
                                                   : "str";
    out += (value.is_array() ? "[" : "") + std::string(type) + " " + key + " ";
    const Json values = value.is_array() ? value : Json::array({value});
    for (size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : "\t") + word_of(values[i]);
    out += "\n";
  }
  return out;
}

std::string lines_of(const model::test::Fake& header) {
  std::string out = lines_of(header.config);
  for (const auto& tensor : header.tensors) {
    out += "tensor " + tensor.name + " " + std::to_string(quant::info(tensor.format).ggml_type);
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim)
      out += " " + std::to_string(*dim);
    out += "\n";
  }
  return out;
}

// The first tokens of a vocabulary whose merges have its order.
Json first_tokens(Json metadata, size_t count) {
  auto& tokens = metadata["tokenizer.ggml.tokens"];
  auto& merges = metadata["tokenizer.ggml.merges"];
  const size_t left_out = tokens.size() - count;
  for (auto* list : {&tokens, &metadata["tokenizer.ggml.token_type"], &merges})
    list->erase(list->end() - static_cast<ptrdiff_t>(std::min(left_out, list->size())),
                list->end());
  return metadata;
}

void Seeds::add_gguf() {
  for (const bool new_layout : {true, false}) {
    const auto header = model::test::deepseek2(new_layout);
    const std::string name = new_layout ? "deepseek2" : "deepseek2-kvb";
    add("gguf", name, lines_of(header));
    add("config", name, base::dump_json(header.config, 1));
  }
  auto llama = model::test::gqa_gguf("llama");
  llama.mlp(0, "", 96, 64);
  for (auto& tensor : llama.tensors) tensor.format = quant::Format::f32;
  add("gguf", "llama", lines_of(llama));
  const auto tokens = first_tokens(read_json("tests/data/tokenizer/tiny-v3-gguf.json"), 320);
  add("gguf", "tokenizer", lines_of(tokens));
  add("gguf", "tokenizer-bytes", gguf_of_lines(lines_of(tokens)));
  const Json pieces = read_json("tests/data/tokenizers/sentencepiece.json");
  for (const auto& item : pieces.at("cases"))
    add("gguf", item.at("name").get<std::string>(), lines_of(item.at("gguf")));
  add("gguf", "blocks", read("tests/data/blocks/ggml_blocks.gguf"), false);
}

void Seeds::add_tokenizers() {
  const Json all = read_json("tests/data/tokenizers/tokenizers.json");
  for (const auto& item : all.at("cases"))
    add("tokenizer", item.at("name").get<std::string>(),
        input_of({{"", base::dump_json(item.at("tokenizer"))}, {"text", sample_text}}));
  const Json ranks = read_json("tests/data/tokenizers/tiktoken.json");
  add("tokenizer", "tiktoken",
      input_of({{"tokenizer_config.json", base::dump_json(ranks.at("config"))},
                {"tiktoken.model", read("tests/data/tokenizers/tiktoken.model")},
                {"text", sample_text}}));
}

void Seeds::add_rules() {
  for (const char* folder : {"examples", "optimize_rules", "tests/data/rules/wrong"})
    for (const auto& file : files(folder, ".yaml")) {
      const std::string name = file.lexically_relative(source_).string();
      const bool machine = name == "examples/my-machine.yaml";
      const bool wrong = name.starts_with("tests");
      add(machine ? "machine" : "rules", name, base::read_text(file), !wrong);
    }
  add("rules", "profile",
      input_of({{"",
                 "ktx: 1\nrules:\n  - name: experts\n    match: {class: moe.experts}\n    place: "
                 "{device: cpu, experts: {resident: 4, on: 'cuda:0', by: profile.yaml}}\n  - "
                 "name: rest\n    match: {name: '.*'}\n    place: {device: cpu}\n"},
                {"profile.yaml", "layers: {1: [5, 17, 20, 3], 2-7: [0, 1, 2, 3]}\n"}}));
  for (const auto& file : files("tests/machines", ".yaml"))
    add("machine", file.filename().string(), base::read_text(file));
  for (const auto& file : files("tests/data/rules/ktransformers", ".yaml"))
    if (file.string().find(".ktx.") == std::string::npos)
      add("import", file.filename().string(), base::read_text(file));
  for (const auto& file : files("tests/data/rules/overrides", ".txt"))
    add("import", file.filename().string(), "@@ overrides\n" + first_line(base::read_text(file)));
}

void Seeds::add_templates() {
  const Json vectors = read_json("tests/data/jinja/vectors.json");
  size_t number = 0;
  for (const auto& item : vectors.at("cases")) {
    const Json& variables = vectors.at("variables").at(item.at(1).get<size_t>());
    std::vector<File> files{{"", vectors.at("templates").at(item.at(0).get<size_t>())}};
    for (const char* part : {"messages", "tools"})
      if (variables.contains(part)) files.push_back({part, base::dump_json(variables.at(part))});
    files.push_back({"variables", base::dump_json(variables)});
    const bool renders = item.at(2).is_string();
    add("jinja", "vector-" + std::to_string(number++), input_of(files), renders);
  }
  for (const auto& file : this->files("tests/data/jinja/chat", ".jinja"))
    add("jinja", file.filename().string(), base::read_text(file), false);
}

}  // namespace

std::vector<Seed> seeds(const std::string& source_dir) {
  Seeds out(source_dir);
  out.add_models();
  out.add_gguf();
  out.add_tokenizers();
  out.add_rules();
  out.add_templates();
  return std::move(out).take();
}

}  // namespace ktx::fuzz
