#!/usr/bin/env python3
"""Trains a small tiktoken vocabulary for Kimi's tokenizer, with the ids and bytes that tiktoken
itself gives: tiktoken.model, tiktoken.json. Needs the package tiktoken."""

import base64
import collections
import json
import pathlib

import tiktoken

from texts import BYTES, TEXTS

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
# tokenization_kimi.py's, published with Kimi-K2.
PATTERN = "|".join([
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])
NAMED = {0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 5: "<|im_middle|>",
         9: "<|tool_call_begin|>"}
SPECIAL = ["[BOS]a[EOS]", "<|im_user|>user<|im_middle|>x<|im_end|>", " <|im_end|> ", "<|reserved_token_%d|>", "<|im_"]


def train(size):
    """Byte pairs by their counts in words; the order of the merges is the rank."""
    text = "\n".join(TEXTS[:60] + [(ROOT / n).read_text() for n in ("README.md", "CONTRIBUTING.md")])
    ranks = {bytes([b]): b for b in range(256)}
    words = collections.Counter(tuple(bytes([b]) for b in w.encode()) for w in text.split(" "))
    while len(ranks) < size:
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        ranks.setdefault(best[0] + best[1], len(ranks))
        merged = collections.Counter()
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i:i + 2] == best:
                    out.append(best[0] + best[1]); i += 2
                else:
                    out.append(word[i]); i += 1
            merged[tuple(out)] += n
        words = merged
    return ranks


if __name__ == "__main__":
    ranks = train(800)
    first = len(ranks)
    special = {NAMED.get(i, f"<|reserved_token_{first + i}|>"): first + i for i in range(258)}
    encoding = tiktoken.Encoding(name="kimi", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
    texts = TEXTS + [t % (first + 20) if "%" in t else t for t in SPECIAL]
    config = {"tokenizer_class": "TikTokenTokenizer", "bos_token": "[BOS]", "eos_token": "[EOS]",
              "added_tokens_decoder": {str(first + i): {"content": t, "special": i != 9, "normalized": False,
                                                        "lstrip": False, "rstrip": False, "single_word": False}
                                       for i, t in NAMED.items()}}
    (HERE / "tiktoken.model").write_text("".join(f"{base64.b64encode(t).decode()} {r}\n" for t, r in ranks.items()))
    out = {"texts": texts, "config": config,
           "ids": [encoding.encode(t, allowed_special="all") for t in texts],
           "plain_ids": [encoding.encode(t, disallowed_special=()) for t in texts[len(TEXTS):]],
           "bytes": [b.hex() for b in BYTES],
           "byte_ids": [encoding._encode_single_piece(b) for b in BYTES]}
    for b, ids in zip(BYTES, out["byte_ids"]):
        assert encoding.decode_bytes(ids) == b
    (HERE / "tiktoken.json").write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
