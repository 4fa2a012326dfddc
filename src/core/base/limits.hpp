// Upper bounds on what a model and its files may claim. Files are untrusted: a few bytes can claim
// any number of layers or experts, and each of those costs memory and time long before a missing
// tensor disproves the claim. Each bound is the largest published number with ample headroom;
// everything within the bounds takes linear time. Code that reads a number refuses one above its
// bound, with an error that names key, number and bound.
#pragma once

#include <cstdint>

namespace ktx::limits {

// Of a model.
constexpr int64_t layers = 512;                // Llama 3.1 405B: 126
constexpr int64_t heads = 1024;                // DeepSeek-V3 and Llama 3.1 405B: 128
constexpr int64_t head_size = 4096;            // compressed keys of DeepSeek-V3: 576
constexpr int64_t experts = 4096;              // of a layer; Qwen3-Next: 512
constexpr int64_t columns = 1 << 20;           // hidden and inner sizes; Nemotron-4 340B: 73728
constexpr int64_t vocabulary = 1 << 22;        // Gemma 3: 262,208
constexpr int64_t context = 1 << 28;           // tokens; Llama 4 Scout: 10 M
constexpr int64_t tensors = 1 << 20;           // Kimi-K2-Thinking: 210,000
constexpr int64_t weights = int64_t{1} << 48;  // of all tensors together; Kimi-K2: 2^40
constexpr int64_t end_tokens = 256;            // that end an answer; Llama 3: 3

// Of one file.
constexpr int64_t values = 1 << 23;  // of JSON, or in GGUF's arrays; tokenizer.json of Llama 4: 2 M
constexpr int64_t added_bytes = 1 << 22;  // of all added tokens of a tokenizer; Llama 4: 40 kB
constexpr int64_t merges = 1 << 21;       // of a tokenizer; GPT-4o: 446,189

// Of a rules file and of a machine's.
constexpr int64_t rules = 2048;       // DeepSeek-V3 has as many modules; files here have 6 rules
constexpr int64_t numa_nodes = 256;   // eight sockets cut into four: 32
constexpr int64_t node_cpus = 65536;  // of one node, with their threads; EPYC Turin Dense: 384
constexpr int64_t gpus = 1024;        // one box: 16

}  // namespace ktx::limits
