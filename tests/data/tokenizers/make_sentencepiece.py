#!/usr/bin/env python3
"""Trains small SentencePiece BPE models and writes them as GGUF metadata, with the ids and texts
that SentencePiece itself gives: sentencepiece.json. Needs the package sentencepiece."""

import io
import json
import pathlib

import sentencepiece as spm

from texts import BYTES, TEXTS

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]


def corpus():
    text = "\n".join(TEXTS[:40] + [(ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")])
    return iter(line for line in text.split("\n") if line.strip())


def train(**options):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=corpus(), model_writer=out, model_type="bpe",
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, split_digits=True, minloglevel=2, **options)
    return spm.SentencePieceProcessor(model_proto=out.getvalue())


def kind(sp, i):
    if sp.is_unknown(i): return 2
    if sp.is_control(i): return 3
    if sp.is_unused(i): return 5
    if sp.is_byte(i): return 6
    return 1


def case(name, sp, space_prefix):
    size = sp.get_piece_size()
    gguf = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [sp.id_to_piece(i) for i in range(size)],
        "tokenizer.ggml.scores": [sp.get_score(i) for i in range(size)],
        "tokenizer.ggml.token_type": [kind(sp, i) for i in range(size)],
        "tokenizer.ggml.bos_token_id": sp.bos_id(), "tokenizer.ggml.eos_token_id": sp.eos_id(),
        "tokenizer.ggml.unknown_token_id": sp.unk_id(),
        "tokenizer.ggml.add_space_prefix": space_prefix,
    }
    texts = [t.encode() for t in TEXTS] + BYTES
    ids = [sp.encode(t) for t in texts]
    return {"name": name, "gguf": gguf, "ids": ids,
            "decoded": [None if sp.unk_id() in i else sp.decode(i) for i in ids]}


if __name__ == "__main__":
    cases = [
        case("byte fallback and space prefix",
             train(vocab_size=700, byte_fallback=True, character_coverage=0.98), True),
        case("no space prefix",
             train(vocab_size=700, byte_fallback=True, character_coverage=0.98,
                   add_dummy_prefix=False), False),
        case("unknown tokens instead of bytes",
             train(vocab_size=400, character_coverage=0.98), True),
    ]
    out = {"bytes": [b.hex() for b in BYTES], "texts": TEXTS, "cases": cases}
    (HERE / "sentencepiece.json").write_text(
        json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
