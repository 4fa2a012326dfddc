// What the GPU kernels cannot run, and why: known without a GPU and in builds without CUDA, so that
// plans for a machine with GPUs are made anywhere.
#pragma once

#include <cstdint>
#include <string>

#include "core/quant/format.hpp"

namespace ktx::ops::cuda {

// Each empty when a GPU can, else the reason.

/// Multiplies by a matrix in Layout::x16.
std::string matmul_refusal(quant::Format format, int64_t rows, int64_t cols);

/// Runs experts in Layout::x16.
std::string moe_refusal(quant::Format gate_up, quant::Format down, int64_t hidden,
                        int64_t intermediate);

/// Reads rows of an embedding.
std::string embedding_refusal(quant::Format format);

/// Multi-head latent attention; k_b and v_b are bf16.
std::string mla_refusal(int64_t nope, int64_t kv_lora);

/// Chooses among experts by hidden states of that width.
std::string router_refusal(int64_t experts, int64_t hidden);

}  // namespace ktx::ops::cuda
