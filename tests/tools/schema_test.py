#!/usr/bin/env python3
"""ktx-plan schema in a validator: right rules files pass, wrong ones don't, each for its own reason.

Usage: schema_test.py BUILD_DIR [unittest arguments]
Needs python3-jsonschema and python3-yaml; ends with 4, skipped, without them.
"""

import json
import re
import sys
import unittest

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"skipped: {missing}; Debian has python3-jsonschema and python3-yaml", file=sys.stderr)
    sys.exit(4)

from command_lines import Case, ROOT


class CoreLoader(yaml.SafeLoader):
    """Plain words as editors read them: by YAML 1.2, where `on` and `yes` are texts."""


CoreLoader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


def texts_as_keys(value):
    """JSON's keys are texts: {3: ...} is {"3": ...} to an editor."""
    if isinstance(value, dict):
        return {str(key): texts_as_keys(item) for key, item in value.items()}
    return [texts_as_keys(item) for item in value] if isinstance(value, list) else value


class Schema(Case):
    def setUp(self):
        super().setUp()
        schema = json.loads(self.good("ktx-plan", "schema"))
        jsonschema.Draft7Validator.check_schema(schema)
        self.validator = jsonschema.Draft7Validator(schema)

    def problems(self, text):
        return list(self.validator.iter_errors(texts_as_keys(yaml.load(text, CoreLoader))))

    def test_the_rules_files_of_the_repository_are_right(self):
        files = [*ROOT.glob("optimize_rules/**/*.yaml"), ROOT / "examples/my-box.yaml",
                 *ROOT.glob("tests/data/rules/*/*.ktx.yaml")]
        self.assertGreater(len(files), 15)
        for file in files:
            self.assertEqual(self.problems(file.read_text()), [], file)

    def test_all_that_the_reference_tells_of(self):
        self.assertEqual(self.problems("""
ktx: 1
machine: {ram: 382GiB, vram: 14 GiB, isa: amx_int8}
model: {path: model.gguf, experts_per_token: {default: 8, layers: {3-20: 6, 7: 4}}}
context: 16384
sessions: 4
cache: {format: fp8}
threads: 32
prefill_chunk: 8192
weights_cache: packed
tokenizer: tokenizer
deterministic: true
rules:
  - name: routed experts
    match: {class: moe.experts, name: experts, layers: [3, 4-6, '7-9,11']}
    place: {device: cpu, op: moe.auto, format: int4/64, numa: replicate, experts: {resident: 3, on: cuda:0, by: p}}
    decode: {op: moe.ref}
    prefill: {device: ['cuda:0', 'cuda:1'], spread: layers, stream: yes}
  - {name: 7, match: {layers: 7}, place: {numa: node:1, experts: {list: [1, 2], keep_ram: no}}}
"""), [])

    def test_wrong_files_that_a_schema_can_tell(self):
        """Those whose mistake is a word or a number; what only a model or a box shows, a plan tells."""
        told = {file.stem for file in (ROOT / "tests/data/rules/wrong").glob("*.yaml")
                if file.stem != "file-two-documents" and not file.stem.startswith("yaml-")
                and self.problems(file.read_text())}
        for name in ("file-of-ktransformers", "file-version-missing", "file-version-unknown", "file-key-misspelled",
                     "rule-without-name", "rule-without-match", "rule-without-place", "rule-key-misspelled",
                     "rule-place-is-a-text", "match-empty", "match-class-misspelled", "match-layers-python-range",
                     "place-key-misspelled", "place-device-without-number", "place-device-twice",
                     "place-op-of-ktransformers", "place-kernel-unknown", "place-format-of-a-file",
                     "place-format-without-group", "place-numa-misspelled", "place-stream-maybe",
                     "experts-without-a-number", "experts-on-the-cpu", "machine-size-without-unit",
                     "machine-size-a-number",
                     "machine-isa-part", "model-experts-none", "context-with-unit", "sessions-none",
                     "cache-format-of-weights", "deterministic-maybe"):
            self.assertIn(name, told)
        for name in ("place-device-not-there", "match-layers-beyond-the-model", "rule-never-applies",
                     "machine-too-small", "place-op-of-other-modules"):
            self.assertNotIn(name, told)

    def test_the_reason_is_named(self):
        problem, = self.problems("ktx: 1\nrules:\n  - {name: a, match: {nam: b}, place: {}}\n")
        self.assertEqual(list(problem.absolute_path), ["rules", 0, "match"])
        self.assertIn("'nam' was unexpected", problem.message)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
