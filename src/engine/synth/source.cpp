// A spec's recipe as the contents of a checkpoint whose "files" are tensors made in memory.
#include "engine/synth/source.hpp"

#include <charconv>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "engine/synth/contents.hpp"
#include "engine/synth/tensor_bytes.hpp"
#include "engine/synth/vocabulary.hpp"
#include "loader/file_source.hpp"
#include "loader/overrides.hpp"

namespace ktx::engine {
namespace {

constexpr std::string_view prefix = "synth:";

template <class T>
T number(const std::string& key, const std::string& text, const std::string& spec) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end || text.empty())
    throw_input("'" + key + "': expected a whole number, found '" + text + "'", spec);
  return value;
}

void set(SynthOptions& options, const std::string& key, const std::string& value,
         const std::string& spec) {
  if (key == "mix")
    options.mix = find_mix(value).name;
  else if (key == "dense")
    options.dense_layers = number<int>(key, value, spec);
  else if (key == "moe")
    options.moe_layers = number<int>(key, value, spec);
  else if (key == "experts")
    options.experts = number<int>(key, value, spec);
  else if (key == "seed")
    options.seed = number<uint64_t>(key, value, spec);
  else
    options.sizes[key] = number<int64_t>(key, value, spec);
}

void check_key(const std::string& key, const SynthOptions& options, const std::string& spec) {
  std::vector<std::string> keys{"mix", "dense", "moe", "experts", "seed"};
  for (auto& size : size_names(published_model(options.model))) keys.push_back(std::move(size));
  for (const auto& known : keys)
    if (key == known) return;
  throw_input("no key '" + key + "' of " + options.model, spec,
              base::suggestions(key, keys, "keys"));
}

/// Pieces of a text between commas.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  for (size_t comma; (comma = text.find(',')) != std::string_view::npos;
       text.remove_prefix(comma + 1))
    words.emplace_back(text.substr(0, comma));
  words.emplace_back(text);
  return words;
}

/// Codes and, for every 128 x 128 of them, a scale.
std::shared_ptr<const loader::Assembly> fp8_of(const loader::CheckpointContents& contents,
                                               const loader::FileTensor& codes,
                                               const loader::FileRange& scales) {
  constexpr int64_t block = 128;
  const int64_t rows = codes.meta.shape[codes.meta.shape.size() - 2];
  const int64_t cols = codes.meta.shape.back();
  const int64_t scale_cols = (cols + block - 1) / block;
  const auto bytes = [&](const loader::FileRange& range) {
    return contents.files[range.file].get();
  };
  return loader::assemble_fp8(
      {.codes = {bytes(codes.data), codes.data, static_cast<uint64_t>(cols)},
       .scales = {{bytes(scales), scales, static_cast<uint64_t>(scale_cols) * sizeof(float)},
                  loader::ScaleType::f32,
                  scale_cols},
       .matrix_rows = rows,
       .cols = cols,
       .block_rows = block,
       .block_cols = block});
}

/// Adds tensors as files of their own; an fp8 tensor is followed by that of its scales.
void add_tensors(loader::CheckpointContents& out, std::vector<SynthTensor> tensors, uint64_t seed) {
  const auto rings = std::make_shared<NumberRings>(seed);
  const auto add_bytes = [&](SynthTensor tensor) -> loader::FileRange {
    out.files.push_back(std::make_unique<TensorBytes>(std::move(tensor), rings));
    return {out.files.size() - 1, 0, out.files.back()->size()};
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    loader::FileTensor added;
    added.meta = {.name = tensors[i].name,
                  .format = tensors[i].numbers.format,
                  .shape = tensors[i].shape,
                  .where = out.path.string()};
    added.data = add_bytes(std::move(tensors[i]));
    if (added.meta.format == quant::Format::fp8)
      added.assembly = fp8_of(out, added, add_bytes(std::move(tensors[++i])));
    out.tensors.push_back(std::move(added));
  }
}

SynthOptions read_spec(const std::string& spec) {
  const auto words = split(std::string_view(spec).substr(prefix.size()));
  SynthOptions options;
  options.model = published_model(words.front()).name;
  std::set<std::string> given;
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t sign = words[i].find('=');
    if (sign == std::string::npos)
      throw_input("expected KEY=VALUE after a comma, found '" + words[i] + "'", spec,
                  {"for example synth:deepseek-v3,mix=q4_k_m,moe=4,experts=64"});
    const std::string key = words[i].substr(0, sign);
    check_key(key, options, spec);
    if (!given.insert(key).second) throw_input("'" + key + "' is given twice", spec);
    set(options, key, words[i].substr(sign + 1), spec);
  }
  return options;
}

loader::CheckpointContents contents_of(const std::string& spec) {
  const SynthOptions options = read_spec(spec);
  const bool gguf = find_mix(options.mix).gguf;
  const auto recipe = recipe_of(options, gguf ? model::Naming::gguf : model::Naming::hugging_face);
  loader::CheckpointContents out;
  out.kind = gguf ? loader::CheckpointKind::gguf : loader::CheckpointKind::safetensors;
  out.path = spec;
  out.config = full_config(recipe);
  if (!gguf) {
    out.tokenizer = tokenizer_json(recipe.config);
    out.tokenizer_config = tokenizer_config(*recipe.model);
  }
  add_tensors(out, contents(recipe), options.seed);
  return out;
}

/// Errors of what a spec asks for name the spec.
template <class Call>
auto at_spec(const std::string& spec, const Call& call) {
  try {
    return call();
  } catch (const Error& e) {
    throw Error(e.category(), e.message(), spec, e.notes());
  }
}

}  // namespace

bool is_synthetic(const std::filesystem::path& model) {
  return model.native().starts_with(prefix);
}

SynthOptions parse_spec(const std::string& spec) {
  return at_spec(spec, [&] { return read_spec(spec); });
}

std::unique_ptr<loader::TensorSource> open_synthetic(const std::string& spec,
                                                     std::span<const std::string> overrides) {
  auto made = at_spec(spec, [&] { return contents_of(spec); });
  loader::apply_overrides(made.config, overrides, made.kind);
  return std::make_unique<loader::FileSource>(std::move(made));
}

}  // namespace ktx::engine
