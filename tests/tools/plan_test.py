#!/usr/bin/env python3
"""ktx-plan from outside, and what it says of wrong rules files and checkpoints.

Usage: plan_test.py BUILD_DIR [unittest arguments]
"""

import html.parser
import json
import math
import struct
import sys
import unittest

from command_lines import ARCH, CPU, Case, MODEL, ROOT, run


def add_tensor(file, name, shape):
    """Zeros in BF16, at the end of a safetensors file."""
    data = file.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    begin = len(data) - start
    size = 2 * math.prod(shape)
    header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, begin + size]}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[start:] + bytes(size))


REST = "  - name: rest\n    match: {name: '.*'}\n    place: {device: cpu}\n"


class Plan(Case):
    def test_text_and_json_tell_the_same(self):
        text = self.good("ktx-plan", "--model", MODEL, "--rules", CPU)
        plan = json.loads(self.good("ktx-plan", "--model", MODEL, "--rules", CPU, "--json"))
        for module in plan["modules"]:
            self.assertIn(module["path"].replace(f".layers.{module['layer']}.", ".layers.*."), text)

    def test_mtp_layers_are_named_as_not_used(self):
        model = self.copy_of("kimi-k2")
        add_tensor(model / "model.safetensors", "model.layers.2.eh_proj.weight", [128, 256])
        text = self.good("ktx-plan", "--model", model, "--rules", CPU)
        self.assertRegex(text, r"\nnot run\n  model\.layers\.2  ")

    def test_the_example_rules_fit_every_model_with_experts(self):
        rules = ROOT / "examples/my-box.yaml"
        for arch in ("deepseek-v2-lite", "deepseek-v3-fp8", "kimi-k2", "mixtral", "qwen2-moe", "qwen3-moe"):
            self.good("ktx-plan", "--model", ARCH / arch, "--rules", rules)
        plan = json.loads(self.good("ktx-plan", "--model", MODEL, "--rules", rules, "--json"))
        self.assertEqual([rule["modules"] for rule in plan["rules"]], [3, 28, 26])

    def test_a_header_is_enough(self):
        file = self.folder / "header.gguf"
        file.write_bytes(MODEL.read_bytes()[:200_000])
        whole = json.loads(self.good("ktx-inspect", MODEL, "--json"))
        self.assertEqual(json.loads(self.good("ktx-inspect", file, "--json")), whole)


class Page(html.parser.HTMLParser):
    """An HTML page: whether its elements are nested as they should be, and its data."""

    VOID = {"meta", "input", "br", "link", "img"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.loads, self.data = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.loads += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        if "id" in names:
            self.ids.append(names["id"])
        if tag not in self.VOID:
            self.open.append((tag, names.get("id")))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop()[0] != tag:
            raise AssertionError(f"line {self.getpos()[0]}: </{tag}> ends another element")

    def handle_data(self, data):
        if self.open and self.open[-1] == ("script", "plan"):
            self.data += data


class Printouts(Case):
    """Other ways to read a plan; what they say is tested in tests/placement/explain."""

    def plan(self, *options):
        return self.good("ktx-plan", "--model", MODEL, "--rules", CPU, *options)

    def test_one_module(self):
        self.assertIn("\nrules, in file order\n", self.plan("--why", "model.layers.1.mlp.experts"))
        self.fails("ktx-plan", "--model", MODEL, "--rules", CPU, "--why", "lm_haed", code=2,
                   message="ktx-plan: --why: the model has no module 'lm_haed'\n"
                           "  note: did you mean 'lm_head'?\n"
                           "  note: a module's full path is needed, as the plan prints it, with its layer for *\n")

    def test_two_files(self):
        int8 = ROOT / "optimize_rules/cpu-int8.yaml"
        text = self.good("ktx-plan", "--model", MODEL, "--diff", CPU, int8)
        self.assertTrue(text.startswith(f"A  {CPU}\nB  {int8}\n"))
        self.assertIn("no difference", self.good("ktx-plan", "--model", MODEL, "--diff", CPU, CPU))

    def test_two_files_with_models_of_their_own(self):
        one, other = self.folder / "one.yaml", self.folder / "other.yaml"
        one.write_text("ktx: 1\nmodel: {path: 'synth:mixtral-8x7b,moe=1'}\nrules:\n" + REST)
        other.write_text("ktx: 1\nmodel: {path: 'synth:qwen3-30b-a3b,moe=1'}\nrules:\n" + REST)
        done = run("ktx-plan", "--diff", one, other)
        self.assertEqual(done.returncode, 1)
        self.assertIn("plans of different models can't be compared", done.stderr)

    def test_what_one_printout_would_ignore_is_refused(self):
        def refuses(first, second, *args):
            self.fails("ktx-plan", *args, code=2,
                       message=f"{first} excludes {second}\nRun with --help for more information.\n")

        refuses("--diff", "--rules", "--rules", CPU, "--diff", CPU, CPU)
        refuses("suggest", "--json", "--json", "suggest", "-m", MODEL)
        refuses("suggest", "--rules", "--rules", "x", "suggest", "-m", MODEL)
        refuses("--keywords", "--json", "--keywords", "--json")
        refuses("--detect", "--machine", "--detect", "--machine", "x.yaml")

    def test_warnings_are_no_failure(self):
        machine = ROOT / "tests/machines/laptop.yaml"
        self.assertEqual(self.plan("--machine", machine, "--lint"), "no warnings\n")
        text = self.plan("--machine", machine, "--lint", "--threads", "4000")
        self.assertRegex(text, r"^--threads: 4000 threads on \d+ cores: .* \[more-threads\]\n$")

    def test_the_page_is_whole(self):
        file = self.folder / "plan.html"
        self.assertEqual(self.plan("--html", file), "")
        page = Page(file.read_text())
        self.assertEqual(page.open, [])
        self.assertEqual(page.loads, [])
        self.assertEqual(len(page.ids), len(set(page.ids)))
        told = json.loads(page.data)["modules"]
        modules = json.loads(self.plan("--json"))["modules"]
        paths = [module["path"].replace(f".layers.{module['layer']}.", ".layers.*.") for module in modules]
        self.assertEqual({module["path"] for module in told}, set(paths))

    def test_one_printout_at_a_time(self):
        self.assertEqual(run("ktx-plan", "--rules", CPU, "--json", "--lint").returncode, 2)
        self.assertEqual(run("ktx-plan", "--model", MODEL, "--json").returncode, 2)


class Suggest(Case):
    MACHINE = ROOT / "tests/machines/laptop.yaml"

    def test_a_size_has_a_unit(self):
        for size in ("14", "-1", "0", "0GiB", "lots", "14 gigs"):
            self.fails("ktx-plan", "suggest", "-m", MODEL, "--machine", self.MACHINE, "--vram", size, code=2,
                       message=f"ktx-plan: --vram: expected a size such as 14GiB, found '{size}'\n")
        self.good("ktx-plan", "suggest", "-m", MODEL, "--machine", self.MACHINE, "--vram", "2.5GiB")
        self.assertEqual(run("ktx-plan", "suggest", "-m", MODEL, "--goal", "foo").returncode, 2)

    def test_a_name_stays_in_its_comment(self):
        name = b"general.name" + struct.pack("<I", 8)
        data = MODEL.read_bytes()
        at = data.index(name) + len(name)
        size = struct.unpack("<Q", data[at : at + 8])[0]
        hostile = b"T\nfoo: 1\x1b[31m".ljust(size, b".")[:size]
        file = self.folder / "model.gguf"
        file.write_bytes(data[: at + 8] + hostile + data[at + 8 + size :])
        text = self.good("ktx-plan", "suggest", "-m", file, "--machine", self.MACHINE)
        self.assertTrue(text.startswith("# T\\nfoo: 1"), text[:100])
        for out in (text, self.good("ktx-plan", "-m", file, "--rules", CPU), self.good("ktx-inspect", file)):
            self.assertIn("T\\nfoo: 1", out)
            self.assertNotIn("\x1b", out)


class Overrides(Case):
    def test_what_nothing_reads_is_refused(self):
        for model in (MODEL, "synth:deepseek-v3,mix=q4_k_m,dense=1,moe=1"):
            done = run("ktx-plan", "-m", model, "--rules", CPU, "--override", "num_experts_per_tok=2")
            self.assertEqual(done.returncode, 2)
            self.assertIn("the GGUF metadata has no key 'num_experts_per_tok'\n", done.stderr)
            out = self.good("ktx-plan", "-m", model, "--rules", CPU, "--json", "--override", "deepseek2.expert_used_count=2")
            self.assertEqual(json.loads(out)["totals"]["max_experts_per_token"], 2)


class Import(Case):
    """Rules of other programs; what becomes of them is tested in tests/engine/import_test.cpp."""

    def test_a_file_of_ktransformers(self):
        rules = ROOT / "tests/data/rules/ktransformers"
        self.assertEqual(self.good("ktx-plan", "import", rules / "one-gpu.yaml"),
                         (rules / "one-gpu.ktx.yaml").read_text())

    def test_overrides_are_listed_or_given_one_by_one(self):
        rules = self.rules(self.good("ktx-plan", "import", "--ot", "exps=CPU,output=CPU", "--model", MODEL))
        self.assertEqual(rules.read_text(), self.good(
            "ktx-plan", "import", "--ot", "exps=CPU", "--override-tensor", "output=CPU", "-m", MODEL))
        self.assertIn("{class: moe.experts}", rules.read_text())

    def test_advice_on_experts_is_for_experts(self):
        advice = "a GPU with whole experts"
        for override, told in (("ffn_down_exps=CPU", True), ("attn_k_b=CPU", False)):
            text = " ".join(self.good("ktx-plan", "import", "--ot", override).replace("\n  #  ", "").split())
            self.assertIn("no equal: a module's weights lie on one device in ktx", text)
            self.assertEqual(advice in text, told, text)

    def test_what_can_not_be_read(self):
        self.fails("ktx-plan", "import", "--ot", "exps=GPU0", code=2,
                   message="ktx-plan: --ot, column 6: unknown buffer 'GPU0'\n"
                           "  note: valid buffers: CPU, CUDA0, CUDA1\n")
        self.fails("ktx-plan", "import", self.rules("ktx: 1\n"),
                   message="ktx-plan: FOLDER/rules.yaml:1:1: expected rules of KTransformers, found a rules file "
                           "of ktx\n  note: it needs no import: ktx-plan --rules FILE\n")
        self.assertEqual(run("ktx-plan", "import").returncode, 2)
        self.assertEqual(run("ktx-plan", "import", CPU, "--ot", "exps=CPU").returncode, 2)

    def test_the_schema_is_that_of_the_repository(self):
        self.assertEqual(self.good("ktx-plan", "schema"), (ROOT / "optimize_rules/ktx.schema.json").read_text())


class OneFile(Case):
    """What a rules file says of the model as a whole; options stand above it."""

    HEAD = "ktx: 1\nmodel: {path: models/tiny.gguf}\ncontext: 100\nsessions: 2\nrules:\n"

    def setUp(self):
        super().setUp()
        (self.folder / "models").mkdir()
        (self.folder / "models/tiny.gguf").symlink_to(MODEL)

    def plan(self, *options):
        return json.loads(self.good("ktx-plan", "--rules", self.rules(self.HEAD + REST), "--json", *options))

    def test_the_model_is_relative_to_the_file(self):
        plan = self.plan()
        self.assertEqual(plan["model"]["architecture"], "deepseek_v3")
        self.assertEqual(plan["totals"]["cache_length"], 100)
        self.assertEqual(plan["totals"]["cache_pages"], 4)
        settings = {row["name"]: (row["value"], row["from"]) for row in plan["settings"]}
        file = str(self.folder / "rules.yaml")
        self.assertEqual(settings["model"], (str(self.folder / "models/tiny.gguf"), file + ":2"))
        self.assertEqual(settings["context"], ("100", file + ":3"))
        self.assertEqual(settings["sessions"], ("2", file + ":4"))
        self.assertEqual(settings["prefill_chunk"], ("2048", "default"))
        self.assertEqual(settings["experts_per_token"], ("8", "checkpoint"))

    def test_options_stand_above_the_file(self):
        plan = self.plan("--model", MODEL, "--context", "200", "--sessions", "3", "--threads", "1",
                         "--prefill-chunk", "64", "--cache", "packed", "--tokenizer", "tok", "--cache-format", "fp8",
                         "--deterministic", "-k", "6", "--max-experts", "12")
        settings = {row["name"]: (row["value"], row["from"]) for row in plan["settings"]}
        self.assertEqual(settings, {
            "model": (str(MODEL), "--model"), "experts_per_token": ("6", "--experts-per-token"),
            "max_experts": ("12", "--max-experts"), "cache.format": ("fp8", "--cache-format"),
            "context": ("200", "--context"), "sessions": ("3", "--sessions"), "threads": ("1", "--threads"),
            "decode_threads": ("1", "threads"),
            "prefill_chunk": ("64", "--prefill-chunk"), "weights_cache": ("packed", "--cache"),
            "tokenizer": ("tok", "--tokenizer"), "deterministic": ("true", "--deterministic")})
        self.assertEqual(plan["totals"]["max_experts_per_token"], 12)
        self.assertEqual(self.plan("--cache-length", "300")["totals"]["cache_length"], 300)

    def test_no_model_at_all(self):
        for tool in (["ktx-plan"], ["ktx-run", "-p", "x"], ["ktx-bench"], ["ktx-eval", "logits", "--ids", "1", "--out",
                                                                           self.folder / "out"]):
            self.fails(*tool, "--rules", self.rules("ktx: 1\nrules:\n" + REST),
                       message=f"{tool[0]}: FOLDER/rules.yaml: no model is given\n"
                               "  note: name it in the rules file, model: {path: model.gguf}, or with --model\n")

    def test_an_unknown_cache_format(self):
        self.fails("ktx-plan", "--rules", self.rules(self.HEAD + REST), "--cache-format", "int8", code=2,
                   message="ktx-plan: --cache-format: unknown cache format 'int8'\n  note: valid formats: f32, bf16, fp8\n")

    def test_more_experts_than_the_option_asks_room_for(self):
        settings = {row["name"]: (row["value"], row["from"]) for row in self.plan("--max-experts", "4")["settings"]}
        self.assertEqual(settings["max_experts"], ("8", "experts_per_token"))

    def test_an_empty_option_is_no_default(self):
        rules = self.rules(self.HEAD + REST)
        for option in ("--model", "--tokenizer", "--cache", "--cache-format"):
            done = run("ktx-plan", "--rules", rules, option, "")
            self.assertEqual(done.returncode, 2)
            self.assertIn("expected a name, found an empty text", done.stderr)

    def test_the_context_of_the_file_holds_for_every_tool(self):
        rules = self.rules("ktx: 1\ncontext: 0\nrules:\n" + REST)
        text = self.folder / "text"
        text.write_text("The whale")
        for tool in (["ktx-bench"], ["ktx-eval", "perplexity", "--text", text]):
            self.fails(*tool, "--model", MODEL, "--rules", rules,
                       message=f"{tool[0]}: FOLDER/rules.yaml:2:10: context: expected 1 to 16777216, found 0\n")

    def test_a_comma_at_the_end(self):
        self.fails("ktx-plan", "--rules", self.rules("{ktx: 1, rules: []},\n"),
                   message="ktx-plan: FOLDER/rules.yaml:1:20: expected one YAML document and nothing after it, "
                           "found ','\n")


class Rules(Case):
    """Mistakes in a rules file. Each message names file:line:column and what would work."""

    def refuse(self, rule, message, rest="", head="ktx: 1\nrules:\n"):
        file = self.rules(head + rule + rest)
        self.fails("ktx-plan", "--model", MODEL, "--rules", file,
                   message="ktx-plan: FOLDER/rules.yaml" + message)

    def test_unknown_key(self):
        self.refuse("  - name: a\n    match: {name: '.*'}\n    place: {device: cpu, fromat: keep}\n",
                    ":5:26: unknown key 'fromat' in place\n"
                    "  note: did you mean 'format'?\n"
                    "  note: valid keys: device, op, format, numa, spread, stream, experts, defer\n")

    def test_a_typo_in_a_class_name(self):
        self.refuse("  - name: a\n    match: {class: moe.expert}\n    place: {device: cpu}\n",
                    ":4:20: unknown class 'moe.expert'\n"
                    "  note: did you mean 'moe.experts'?\n"
                    "  note: valid classes: embedding, head, norm, linear, attention, attention.mla, "
                    "attention.gqa, mlp, mlp.dense, mlp.shared, moe, moe.router, moe.experts, mtp, other\n")

    def test_a_rule_that_matches_nothing(self):
        self.refuse("  - name: a\n    match: {name: vision_tower}\n    place: {device: cpu}\n",
                    ":4:12: rule 'a' matches no module of this model\n"
                    "  note: no module's path matches 'vision_tower'\n", rest=REST)

    def test_a_regex_that_does_not_compile(self):
        self.refuse("  - name: a\n    match: {name: 'self_attn.('}\n    place: {device: cpu}\n",
                    ":4:19: regular expression 'self_attn.(' does not compile: missing closing "
                    "parenthesis at offset 11\n")

    def test_a_shadowed_rule(self):
        self.refuse(REST + "  - name: b\n    match: {class: moe.experts}\n    place: {device: cpu}\n",
                    ":7:12: rule 'b' never applies: earlier rules take all 3 modules that it matches\n"
                    "  note: rule 'rest' (FOLDER/rules.yaml:3) takes 3 modules\n"
                    "  note: put it before them, or leave it out\n")

    def test_modules_without_a_rule(self):
        self.refuse("  - name: a\n    match: {class: moe.experts}\n    place: {device: cpu}\n",
                    ":3:5: no rule matches model.embed_tokens (class embedding) and 53 more modules\n"
                    "  note: add a last rule for all that is left: {name: rest, match: {name: '.*'}, "
                    "place: {device: cpu}}\n")

    def test_a_device_that_is_not_there(self):
        file = self.rules("ktx: 1\nrules:\n  - name: a\n    match: {name: '.*'}\n    place: {device: 'cuda:9'}\n")
        done = run("ktx-plan", "--model", MODEL, "--rules", file)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r":5:21: device cuda:9: this machine has no (GPU|such GPU, only \d)\n"
                                      r"  note: devices of this machine: cpu")

    def test_more_experts_than_there_are(self):
        self.refuse(REST,
                    ":2:28: experts_per_token: expected 1 to 16, found 40\n"
                    "  note: layer 1 has 32 routed experts in 8 groups, of which a token uses 4\n",
                    head="ktx: 1\nmodel: {experts_per_token: 40}\nrules:\n")

    def test_a_kernel_that_is_not_there(self):
        self.refuse("  - name: a\n    match: {class: moe.experts}\n    place: {device: cpu, op: moe.sse}\n",
                    ":5:30: op moe has no kernel 'sse'\n"
                    "  note: valid kernels of moe: auto, amx, amx_bf16, avx512_bf16, avx512_vbmi, avx512_vnni, avx512, avx2, cuda, ref\n", rest=REST)

    def test_a_format_that_ktx_does_not_make(self):
        self.refuse("  - name: a\n    match: {class: moe.experts}\n    place: {device: cpu, format: q4_0}\n",
                    ":5:34: format q4_0: ktx runs it where the checkpoint has it, but does not quantize "
                    "to it; weight 'gate' of model.layers.1.mlp.experts is q4_k\n"
                    "  note: use keep or one of: f32, f16, bf16, q8_0, int8, int8/32, int8/64, int8/128, "
                    "int4/32, int4/64, int4/128\n", rest=REST)


class Checkpoints(Case):
    """Damaged and foreign checkpoints: one message that names file, tensor and what was wrong."""

    def refuse(self, model, message):
        self.fails("ktx-run", "--model", model, "--rules", CPU, "-p", "x",
                   message="ktx-run: FOLDER/" + message)

    def test_truncated_in_a_tensor(self):
        file = self.folder / "cut.gguf"
        file.write_bytes(MODEL.read_bytes()[:5_000_000])
        self.refuse(file, "cut.gguf: tensor 'blk.1.ffn_up_exps.weight': the file ends inside its data: "
                          "expected bytes 4929024 to 6108672, found a file of 5000000 bytes\n")

    def test_truncated_in_the_header(self):
        file = self.folder / "cut.gguf"
        file.write_bytes(MODEL.read_bytes()[:50_000])
        self.refuse(file, "cut.gguf: metadata 'tokenizer.ggml.tokens': the file ends inside it: "
                          "expected 11 bytes at byte 49996, found 4\n")

    def test_unknown_architecture(self):
        folder = self.copy_of("llama")
        config = json.loads((folder / "config.json").read_text())
        config.update(model_type="gemma9", architectures=["Gemma9ForCausalLM"])
        (folder / "config.json").write_text(json.dumps(config))
        self.fails("ktx-plan", "--model", folder, "--rules", CPU,
                   message="ktx-plan: FOLDER/llama: unknown architecture 'gemma9'\n"
                           "  note: valid architectures: deepseek_v3, kimi_k2, deepseek_v2, qwen2_moe, "
                           "qwen3_moe, mixtral, llama\n")

    def test_wrong_shape(self):
        folder = self.copy_of("llama")
        config = json.loads((folder / "config.json").read_text())
        config["intermediate_size"] = 192
        (folder / "config.json").write_text(json.dumps(config))
        done = run("ktx-plan", "--model", folder, "--rules", CPU)
        self.assertEqual(done.returncode, 1)
        self.assertIn("model.layers.0.mlp.gate_proj.weight", done.stderr)
        self.assertIn("[192, 128]", done.stderr)
        self.assertIn("[256, 128]", done.stderr)

    def test_missing_shard(self):
        folder = self.copy_of("llama")
        (folder / "model.safetensors").unlink()
        index = {"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        done = run("ktx-plan", "--model", folder, "--rules", CPU)
        self.assertEqual(done.returncode, 1)
        self.assertIn("model-00001-of-00002.safetensors", done.stderr)
        self.assertIn("model.embed_tokens.weight", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
