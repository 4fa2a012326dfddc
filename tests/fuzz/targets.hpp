// What is fuzzed: a function for each kind of untrusted input, which libFuzzer (fuzzer.cpp) and an
// ordinary test (fuzz_test.cpp) call.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::fuzz {

/// Each uses an input as ktx does, as deep as that goes without running a model. What is wrong with
/// the input is thrown. An input of several files is written as input.hpp says.
void use_gguf(std::string_view input);         // a file's bytes, or its lines (gguf_lines.hpp)
void use_safetensors(std::string_view input);  // the files of a directory
void use_config(std::string_view input);     // config.json; every tensor that it asks for is there
void use_tokenizer(std::string_view input);  // tokenizer.json or tiktoken.model, and text
void use_rules(std::string_view input);      // a rules file, and those that it names
void use_import(std::string_view input);     // KTransformers' rules, or llama.cpp's overrides
void use_machine(std::string_view input);    // a machine's description
void use_jinja(std::string_view input);      // a chat template, and a conversation

struct Target {
  std::string_view name;
  void (*use)(std::string_view input);
};
std::span<const Target> targets() noexcept;

/// The target of that name, or nullptr.
const Target* find_target(std::string_view name) noexcept;

/// Whether the target takes the input: false when it throws an input or environment error. What
/// else it throws passes, and is a finding: a `bug` error, or an exception that is no ktx::Error.
bool accepts(const Target& target, std::string_view input);

/// An input to begin with.
struct Seed {
  std::string_view target;
  std::string name, input;
  bool good = true;  // the target accepts it; else it may
};
/// Made from files of the repository, whose root is given.
std::vector<Seed> seeds(const std::string& source_dir);

}  // namespace ktx::fuzz
