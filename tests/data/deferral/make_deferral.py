#!/usr/bin/env python3
"""Writes deferral.safetensors: logits of ../arch/qwen3-moe, all of whose layers have routed experts, where the `defer`
experts of least weight of each token are added a layer later, by a float64 forward pass; but for those of the first `resident`
experts, which are not deferred. Needs numpy.

Without deferral the same pass has to give what transformers gave (../arch/qwen3-moe/reference.safetensors).
"""

import json
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).parent
MODEL = HERE.parent / "arch/qwen3-moe"


def read(file):
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, t in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + o for o in t["data_offsets"])
        raw = data[begin:end]
        if t["dtype"] == "BF16":
            values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(raw, {"F32": np.float32, "I32": np.int32}[t["dtype"]])
        tensors[name] = values.reshape(t["shape"])
    return tensors


def write(file, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.tobytes()
        kind = "I32" if values.dtype == np.int32 else "F32"
        header[name] = {"dtype": kind, "shape": values.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


CONFIG = json.loads((MODEL / "config.json").read_text())
WEIGHTS = {name: values.astype(np.float64) for name, values in read(MODEL / "model.safetensors").items()}
HEADS, KV_HEADS, HEAD = (CONFIG[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))


def norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + CONFIG["rms_norm_eps"]) * weight


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def rotate(x):
    """[tokens, heads, HEAD], the first half of a head's numbers paired with the second."""
    theta = CONFIG["rope_parameters"]["rope_theta"]
    angle = np.arange(len(x))[:, None, None] / theta ** (np.arange(0, HEAD, 2) / HEAD)
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)


def attend(x, w):
    tokens = len(x)
    q, k, v = (
        (x @ w(f"{p}_proj.weight").T).reshape(tokens, n, HEAD) for p, n in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS))
    )
    q, k = rotate(norm(q, w("q_norm.weight"))), rotate(norm(k, w("k_norm.weight")))
    k, v = (np.repeat(t, HEADS // KV_HEADS, 1) for t in (k, v))
    scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(HEAD)
    scores[:, np.triu(np.ones((tokens, tokens), bool), 1)] = -np.inf
    return np.einsum("hts,shd->thd", softmax(scores), v).reshape(tokens, -1) @ w("o_proj.weight").T


def experts(x, w, defer, resident):
    """What the experts of most weight make, and what the deferred ones do."""
    scores = softmax(x @ w("gate.weight").T)
    chosen = np.argsort(-scores, -1, kind="stable")[:, : CONFIG["num_experts_per_tok"]]
    now, later = np.zeros_like(x), np.zeros_like(x)
    for t, order in enumerate(chosen):
        weights = scores[t, order] / scores[t, order].sum()
        for i, (expert, weight) in enumerate(zip(order, weights)):
            gate, up, down = (w(f"experts.{expert}.{p}_proj.weight") for p in ("gate", "up", "down"))
            h = x[t] @ gate.T
            y = (h / (1 + np.exp(-h)) * (x[t] @ up.T)) @ down.T
            (later if i >= len(order) - defer and expert >= resident else now)[t] += weight * y
    return now, later


def forward(ids, defer, resident=0):
    x = WEIGHTS["model.embed_tokens.weight"][ids]
    waiting = 0
    for layer in range(CONFIG["num_hidden_layers"]):
        w = lambda name, part="": WEIGHTS[f"model.layers.{layer}.{part}{name}"]
        x = x + attend(norm(x, w("input_layernorm.weight")), lambda n: w(n, "self_attn."))
        last = layer + 1 == CONFIG["num_hidden_layers"]
        y = norm(x, w("post_attention_layernorm.weight"))
        now, later = experts(y, lambda n: w(n, "mlp."), 0 if last else defer, resident)
        x = x + now + waiting
        waiting = later
    return norm(x, WEIGHTS["model.norm.weight"]) @ WEIGHTS["lm_head.weight"].T


reference = read(MODEL / "reference.safetensors")
ids = reference["0.ids"]
error = np.linalg.norm(forward(ids, 0) - reference["0.logits"]) / np.linalg.norm(reference["0.logits"])
assert error < 1e-5, error
out = {"ids": ids}
for defer, resident in ((1, 0), (2, 0), (2, 3)):
    name = f"defer {defer}" + (f", resident {resident}" if resident else "")
    out[name] = forward(ids, defer, resident).astype(np.float32)
    change = np.linalg.norm(out[name] - reference["0.logits"]) / np.linalg.norm(reference["0.logits"])
    print(f"{name}: the logits move by {change:.3f}")
write(HERE / "deferral.safetensors", out)
print(f"without: {error:.1e} from transformers")
