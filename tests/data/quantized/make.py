#!/usr/bin/env python3
"""Makes this folder's models: one small random DeepSeek-V3 in the layouts of published quantizations,
and the logits that its exactly dequantized weights give by a forward pass in float64.

usage: make.py        needs numpy
"""

import json
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).parent
HIDDEN, HEADS, NOPE, ROPE, V, LORA, VOCAB = 64, 2, 16, 16, 16, 32, 32
DENSE, EXPERTS, TOP, WIDE = 32, 4, 2, 32
CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
    "hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS, "qk_nope_head_dim": NOPE, "qk_rope_head_dim": ROPE,
    "v_head_dim": V, "kv_lora_rank": LORA, "q_lora_rank": None, "vocab_size": VOCAB,
    "intermediate_size": DENSE, "moe_intermediate_size": WIDE, "n_routed_experts": EXPERTS,
    "num_experts_per_tok": TOP, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1,
    "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 2.5, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "max_position_embeddings": 256, "hidden_act": "silu",
    "tie_word_embeddings": False}


# --- numbers -------------------------------------------------------------------------------------
def to_bf16(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def e4m3_values():
    out = np.zeros(256)
    for code in range(256):
        exponent, mantissa = code >> 3 & 15, code & 7
        value = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        out[code] = (-value if code & 128 else value) if code & 127 != 127 else np.nan
    return out


E4M3 = e4m3_values()
FINITE = np.array([c for c in range(256) if c & 127 != 127])


def to_e4m3(x):
    return FINITE[np.abs(x[..., None] - E4M3[FINITE]).argmin(-1)].astype(np.uint8)


# --- forward pass --------------------------------------------------------------------------------
def norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def rotate(x):
    """Pairs (2i, 2i + 1), x: [tokens, ..., ROPE]."""
    angle = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(0, ROPE, 2) / ROPE)
    angle = angle.reshape(len(x), *[1] * (x.ndim - 2), ROPE // 2)
    a, b = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2] = a * np.cos(angle) - b * np.sin(angle)
    out[..., 1::2] = a * np.sin(angle) + b * np.cos(angle)
    return out


def attention(x, w, p):
    t = len(x)
    q = (x @ w[p + "q_proj.weight"].T).reshape(t, HEADS, NOPE + ROPE)
    both = x @ w[p + "kv_a_proj_with_mqa.weight"].T
    latent = norm(both[:, :LORA], w[p + "kv_a_layernorm.weight"])
    kv = (latent @ w[p + "kv_b_proj.weight"].T).reshape(t, HEADS, NOPE + V)
    q_rope, k_rope = rotate(q[..., NOPE:]), rotate(both[:, LORA:])
    scores = np.einsum("qhd,khd->hqk", q[..., :NOPE], kv[..., :NOPE])
    scores = (scores + np.einsum("qhd,kd->hqk", q_rope, k_rope)) / np.sqrt(NOPE + ROPE)
    scores = np.where(np.tril(np.ones((t, t))), scores, -np.inf)
    share = np.exp(scores - scores.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", share, kv[..., NOPE:]).reshape(t, -1) @ w[p + "o_proj.weight"].T


def mlp(x, w, p):
    return (silu(x @ w[p + "gate_proj.weight"].T) * (x @ w[p + "up_proj.weight"].T)) @ w[p + "down_proj.weight"].T


def moe(x, w, p):
    scores = 1 / (1 + np.exp(-(x @ w[p + "gate.weight"].T)))
    chosen = np.argsort(-(scores + w[p + "gate.e_score_correction_bias"]), -1)[:, :TOP]
    out = mlp(x, w, p + "shared_experts.")
    for t, ids in enumerate(chosen):
        share = scores[t, ids] / (scores[t, ids].sum() + 1e-20) * 2.5
        for s, e in zip(share, ids):
            out[t] += s * mlp(x[t : t + 1], w, f"{p}experts.{e}.")[0]
    return out


def logits(ids, w):
    w = {k: v.astype(np.float64) for k, v in w.items()}
    x = w["model.embed_tokens.weight"][ids]
    for layer in range(2):
        p = f"model.layers.{layer}."
        x = x + attention(norm(x, w[p + "input_layernorm.weight"]), w, p + "self_attn.")
        h = norm(x, w[p + "post_attention_layernorm.weight"])
        x = x + (moe if layer else mlp)(h, w, p + "mlp.")
    return norm(x, w["model.norm.weight"]) @ w["lm_head.weight"].T


# --- weights -------------------------------------------------------------------------------------
def random_weights():
    rng = np.random.default_rng(7)
    shapes = {"model.embed_tokens.weight": (VOCAB, HIDDEN), "lm_head.weight": (VOCAB, HIDDEN)}

    def add_mlp(p, wide):
        for name in ("gate_proj", "up_proj"):
            shapes[f"{p}{name}.weight"] = (wide, HIDDEN)
        shapes[f"{p}down_proj.weight"] = (HIDDEN, wide)

    for layer in range(2):
        p = f"model.layers.{layer}."
        shapes[p + "self_attn.q_proj.weight"] = (HEADS * (NOPE + ROPE), HIDDEN)
        shapes[p + "self_attn.kv_a_proj_with_mqa.weight"] = (LORA + ROPE, HIDDEN)
        shapes[p + "self_attn.kv_b_proj.weight"] = (HEADS * (NOPE + V), LORA)
        shapes[p + "self_attn.o_proj.weight"] = (HIDDEN, HEADS * V)
    add_mlp("model.layers.0.mlp.", DENSE)
    add_mlp("model.layers.1.mlp.shared_experts.", WIDE)
    for e in range(EXPERTS):
        add_mlp(f"model.layers.1.mlp.experts.{e}.", WIDE)
    shapes["model.layers.1.mlp.gate.weight"] = (EXPERTS, HIDDEN)
    weights = {k: rng.normal(0, 2 * s[1] ** -0.5, s) for k, s in shapes.items()}
    for name, size in [("model.norm.weight", HIDDEN)] + [
            (f"model.layers.{i}.{n}.weight", s) for i in range(2)
            for n, s in (("input_layernorm", HIDDEN), ("post_attention_layernorm", HIDDEN),
                         ("self_attn.kv_a_layernorm", LORA))]:
        weights[name] = 1 + rng.normal(0, 0.1, size)
    return {k: from_bf16(to_bf16(v)) for k, v in weights.items()}, rng.normal(0, 0.05, EXPERTS)


def is_linear(name):
    return "proj" in name and name.endswith(".weight")


class Model:
    """A model in the making: what the file holds, and the weights that it stands for."""

    def __init__(self, which):
        self.tensors, self.exact = {}, {}
        weights, bias = random_weights()
        for name, value in weights.items():
            if not (is_linear(name) and which(name)):
                self.plain(name, value)
        self.left = {k: v for k, v in weights.items() if k not in self.exact}
        name = "model.layers.1.mlp.gate.e_score_correction_bias"
        self.put(name, "F32", bias.astype(np.float32))
        self.exact[name] = bias.astype(np.float32)

    def put(self, name, dtype, data):
        self.tensors[name] = (dtype, list(data.shape), np.ascontiguousarray(data).tobytes())

    def plain(self, name, value):
        self.put(name, "BF16", to_bf16(value))
        self.exact[name] = value

    def write(self, folder, quantization, nested=False):
        ids = np.random.default_rng(11).integers(0, VOCAB, 24).astype(np.int32)
        config = dict(CONFIG, quantization_config=quantization)
        if nested:  # as Kimi-K2.5: a language model beside a tower that sees
            config = {"model_type": "kimi_k25", "text_config": config, "vision_config": {"depth": 1}}
            self.tensors = {"language_model." + k: v for k, v in self.tensors.items()}
            self.put("vision_tower.norm.weight", "F32", np.ones(4, np.float32))
        path = HERE / folder
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save(path / "model.safetensors", self.tensors)
        out = logits(ids, self.exact).astype(np.float32)
        save(path / "reference.safetensors",
             {"0.ids": ("I32", list(ids.shape), ids.tobytes()),
              "0.logits": ("F32", list(out.shape), out.tobytes())})


def save(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(d for _, _, d in tensors.values()))


# --- quantizations -------------------------------------------------------------------------------
def fp8(folder, rows, cols, kind, suffix, quantization):
    """A scale every rows x cols; 0: one for all rows or columns."""
    m = Model(lambda name: True)
    for name, w in m.left.items():
        r, c = rows or w.shape[0], cols or w.shape[1]
        shape = (-(-w.shape[0] // r), -(-w.shape[1] // c))
        scale = np.zeros(shape, np.float32)
        for i in range(shape[0]):
            for j in range(shape[1]):
                scale[i, j] = np.abs(w[i * r : i * r + r, j * c : j * c + c]).max() / 448
        if kind == "BF16":
            stored = to_bf16(scale)
            scale = from_bf16(stored)
        elif kind == "F8_E8M0":
            stored = np.ceil(np.log2(scale) + 127).astype(np.uint8)
            scale = 2.0 ** (stored.astype(np.float32) - 127)
        else:
            stored = scale
        wide = scale.repeat(r, 0)[: w.shape[0]].repeat(c, 1)[:, : w.shape[1]]
        codes = to_e4m3(w / wide)
        m.put(name, "F8_E4M3", codes)
        m.put(name + suffix, kind, stored.reshape(-1)[0:1].reshape(()) if not rows and not cols else stored)
        m.exact[name] = (E4M3[codes] * wide).astype(np.float64)
    m.write(folder, quantization)


def four_bits(w, group, kind, symmetric):
    """Numbers [rows, groups, group], scales and zeros [rows, groups]; scales as stored and as f32."""
    g = w.reshape(w.shape[0], -1, group).astype(np.float64)
    if symmetric:
        scale, zero = np.abs(g).max(-1) / 7, np.full(g.shape[:2], 8)
    else:
        scale = (g.max(-1) - g.min(-1)) / 15
        zero = np.clip(np.round(-g.min(-1) / scale), 1, 15).astype(int)
    if kind == "BF16":
        stored = to_bf16(scale)
        exact = from_bf16(stored)
    else:
        stored = scale.astype(np.float16)
        exact = stored.astype(np.float32)
    q = np.clip(np.round(g / exact[..., None]) + zero[..., None], 0, 15).astype(np.uint32)
    return q, stored, zero.astype(np.uint32), (q - zero[..., None].astype(np.float64)) * exact[..., None]


def in_words(q, order=range(8)):
    """[..., 8 n] numbers of 4 bits in words."""
    q = q.reshape(*q.shape[:-1], -1, 8)
    return sum(q[..., k] << (4 * i) for i, k in enumerate(order)).astype(np.uint32).view(np.int32)


def kimi_int4():
    m = Model(lambda name: ".experts." in name)
    for name, w in m.left.items():
        q, stored, _, exact = four_bits(w, 32, "BF16", True)
        m.put(name + "_packed", "I32", in_words(q.reshape(w.shape)))
        m.put(name + "_scale", "BF16", stored)
        m.put(name + "_shape", "I32", np.array(w.shape, np.int32))
        m.exact[name] = exact.reshape(w.shape)
    weights = {"num_bits": 4, "group_size": 32, "strategy": "group", "symmetric": True, "type": "int"}
    m.write("kimi-int4", {"quant_method": "compressed-tensors", "format": "pack-quantized",
                          "config_groups": {"group_0": {"weights": weights}}}, nested=True)


def gptq(folder, symmetric, ordered):
    m = Model(lambda name: True)
    for name, w in m.left.items():
        stem, cols = name[: -len("weight")], w.shape[1]
        order = np.random.default_rng(3).permutation(cols) if ordered else np.arange(cols)
        q, stored, zero, exact = four_bits(w[:, order], 32, "F16", symmetric)
        back = np.argsort(order)
        q = q.reshape(w.shape)[:, back]
        m.put(stem + "qweight", "I32", in_words(q).T)
        m.put(stem + "qzeros", "I32", in_words((zero - 1).T))
        m.put(stem + "scales", "F16", stored.T)
        m.put(stem + "g_idx", "I32", (back // 32).astype(np.int32))
        m.exact[name] = exact.reshape(w.shape)[:, back]
    m.write(folder, {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": symmetric,
                     "desc_act": ordered})


def awq():
    m = Model(lambda name: True)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    for name, w in m.left.items():
        stem = name[: -len("weight")]
        q, stored, zero, exact = four_bits(w, 32, "F16", False)
        m.put(stem + "qweight", "I32", in_words(q.reshape(w.shape).T, order))
        m.put(stem + "qzeros", "I32", in_words(zero.T, order))
        m.put(stem + "scales", "F16", stored.T)
        m.exact[name] = exact.reshape(w.shape)
    m.write("awq", {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True,
                    "version": "gemm"})


def main():
    tensors = {"quant_method": "compressed-tensors", "format": "float-quantized"}
    fp8("fp8-channel-bf16", 1, 0, "BF16", "_scale", tensors)
    fp8("fp8-block-e8m0", 32, 32, "F8_E8M0", "_scale_inv",
        {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [32, 32]})
    kimi_int4()
    gptq("gptq", True, False)
    gptq("gptq-ordered", False, True)
    awq()


if __name__ == "__main__":
    main()
