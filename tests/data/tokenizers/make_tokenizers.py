#!/usr/bin/env python3
"""Trains small tokenizer.json files of many components, with the ids and texts that the library
itself gives: tokenizers.json. Needs the package tokenizers."""

import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from texts import TEXTS

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIAL = ["a<s>b</s>", "<s>", "<s> [INST] x [/INST] y</s>", " <s>a", "x<n>y <n>", "<n> z", "a  <l>  b", "<w>x a <w> b",
           "é<s>e\u0301<n>", "<s><s>", "[INST]hello[/INST]"]


def train(tokenizer, size, byte_tokens=False):
    corpus = TEXTS[:60] + [(ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")]
    special = ["<unk>", "<s>", "</s>"] + (BYTES if byte_tokens else [])
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False, limit_alphabet=150))
    if byte_tokens:  # bytes are tokens of the vocabulary alone
        data = json.loads(tokenizer.to_str())
        data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] not in BYTES]
        tokenizer = Tokenizer.from_str(json.dumps(data))
    return tokenizer


def add_tokens(tokenizer):
    tokenizer.add_tokens([
        AddedToken("<n>", normalized=True), AddedToken("<l>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("<w>", single_word=True, normalized=False)])
    tokenizer.add_special_tokens([AddedToken("[INST]", normalized=False), AddedToken("[/INST]", normalized=False)])
    return tokenizer


def bpe(**options):
    return Tokenizer(models.BPE(unk_token="<unk>", **options))


def llama2():
    t = bpe(byte_fallback=True, fuse_unk=True)
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    # Trained on words, as SentencePiece's pieces are; used without that cut.
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    t = train(t, 900, byte_tokens=True)
    data = json.loads(t.to_str())
    data["pre_tokenizer"] = None
    return Tokenizer.from_str(json.dumps(data))


def metaspace(scheme, split):
    t = bpe(byte_fallback=True)
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    t = train(t, 700, byte_tokens=True)
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme)])
    return t


def gemma():
    t = bpe(byte_fallback=True, fuse_unk=True)
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return train(t, 700, byte_tokens=True)


def byte_level(normalizer, steps, size=700):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence(steps)
    t.decoder = decoders.ByteLevel()
    corpus = TEXTS[:60] + [(ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")]
    t.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def words():
    t = bpe(fuse_unk=False)
    t.normalizer = normalizers.Sequence([
        normalizers.Strip(), normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.Replace(Regex(r"\d{2,}"), "#")])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated"),
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.CharDelimiterSplit("q")])
    t.decoder = decoders.Sequence([decoders.Strip("a", 1, 0), decoders.Replace(Regex("[xy]"), "-"), decoders.Fuse()])
    return train(t, 400)


def case(name, t):
    t = add_tokens(t)
    ids = [t.encode(text, add_special_tokens=False).ids for text in TEXTS + SPECIAL]
    return {"name": name, "tokenizer": json.loads(t.to_str()), "ids": ids,
            "decoded": [t.decode(i, skip_special_tokens=False) for i in ids]}


if __name__ == "__main__":
    P, S = pre_tokenizers, pre_tokenizers.Split
    cases = [
        case("Prepend and Replace, byte fallback (Llama-2, Mixtral)", llama2()),
        case("Metaspace first, whole", metaspace("first", False)),
        case("Metaspace always", metaspace("always", True)),
        case("Metaspace never", metaspace("never", True)),
        case("Replace, Split merged_with_previous (Gemma)", gemma()),
        case("NFC, Digits, ByteLevel", byte_level(normalizers.NFC(), [P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)])),
        case("NFKC, Split of every behavior, ByteLevel", byte_level(normalizers.NFKC(), [
            S(Regex(r"\p{Han}"), "isolated"), S(" ", "merged_with_next"), S(Regex(r"[.,]"), "merged_with_previous"),
            S(Regex(r"\n"), "contiguous"), S("|", "isolated"),
            P.ByteLevel(add_prefix_space=True, use_regex=False)])),
        case("ByteLevel, then Digits and Split (Falcon)", byte_level(None, [
            P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(), S(Regex("[0-9][0-9][0-9]"), "isolated")])),
        case("Strip, NFD, StripAccents, Lowercase, Replace; words, Punctuation, Digits", words()),
    ]
    out = {"texts": TEXTS + SPECIAL, "cases": cases}
    (HERE / "tokenizers.json").write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
