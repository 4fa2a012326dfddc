#!/usr/bin/env python3
"""The command lines from outside: output, exit codes, and the exact messages for bad input.

Usage: cli_test.py BUILD_DIR [unittest arguments]
"""

import json
import math
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv[1]).resolve()
MODEL = ROOT / "examples/models/tiny-v3-Q4_K_M.gguf"
ARCH = ROOT / "tests/data/arch"
CPU = ROOT / "optimize_rules/cpu.yaml"
PLACE = ["--model", MODEL, "--rules", CPU, "--threads", "2"]


def run(tool, *args, stdin=subprocess.DEVNULL, **options):
    command = [str(BUILD / "tools" / tool), *map(str, args)]
    return subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=300, **options)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def good(self, tool, *args, **options):
        done = run(tool, *args, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def fails(self, tool, *args, message, code=1, **options):
        """The tool ends with `code` and prints exactly `message`, but for the speed of loading; FOLDER stands
        for the test's own."""
        done = run(tool, *args, **options)
        stderr = re.sub(r"^loaded in .*\n", "", done.stderr)
        self.assertEqual(stderr.replace(str(self.folder), "FOLDER"), message)
        self.assertEqual(done.returncode, code)
        self.assertEqual(done.stdout, "")

    def rules(self, text):
        file = self.folder / "rules.yaml"
        file.write_text(text)
        return file

    def copy_of(self, arch):
        return pathlib.Path(shutil.copytree(ARCH / arch, self.folder / arch))


class Run(Case):
    def test_text_goes_to_stdout_and_the_rest_to_stderr(self):
        done = run("ktx-run", *PLACE, "--prompt", "The history of", "--max-new-tokens", "8")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.endswith("\n"))
        self.assertGreater(len(done.stdout), 8)
        self.assertRegex(done.stderr, r"^loaded in \S+ s: read \S+ MB \(\S+ GB/s\)\n"
                                      r"prefill 4 tokens, \S+ tokens/s; decode 7 tokens, \S+ tokens/s; "
                                      r"stopped: --max-new-tokens reached\n$")

    def test_the_cache_is_mapped_on_the_next_start(self):
        cache = self.folder / "cache"
        starts = [run("ktx-run", *PLACE, "--cache", cache, "--prompt", "The history of", "-n", "8") for _ in range(2)]
        self.assertEqual(starts[0].stdout, starts[1].stdout)
        self.assertRegex(starts[0].stderr, r"^loaded in \S+ s: read \S+ MB")
        self.assertRegex(starts[1].stderr, r"^loaded in \S+ s: mapped \S+ MB of packed weights\n")

    def test_a_cache_that_can_not_be_written_is_a_warning(self):
        # A file that is no entry where entries must be renamed to: every write fails.
        cache = self.folder / "cache"
        self.good("ktx-run", *PLACE, "--cache", cache, "--prompt", "The", "-n", "1")
        for entry in cache.glob("*.packed"):
            entry.unlink()
            entry.mkdir()
            (entry / "x").touch()
        done = run("ktx-run", *PLACE, "--cache", cache, "--prompt", "The", "-n", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"^ktx-run: warning: ")

    def test_json(self):
        out = json.loads(self.good("ktx-run", *PLACE, "--prompt", "The history of", "-n", "8", "--json"))
        self.assertEqual(out["prompt_ids"], [0, 417, 3072, 290])
        self.assertEqual(len(out["ids"]), 8)
        self.assertEqual(out["prefill"]["tokens"], 4)
        self.assertEqual(out["decode"]["tokens"], 7)
        for phase in ("prefill", "decode"):
            speed = out[phase]["tokens"] / out[phase]["seconds"]
            self.assertAlmostEqual(out[phase]["tokens_per_second"], speed, delta=speed * 1e-6)
        text = self.good("ktx-run", *PLACE, "--prompt", "The history of", "-n", "8")
        self.assertEqual(out["text"] + "\n", text)

    def test_prompt_file_and_stdin(self):
        file = self.folder / "prompt"
        file.write_text("The history of")
        expected = self.good("ktx-run", *PLACE, "--prompt", "The history of", "-n", "8")
        self.assertEqual(self.good("ktx-run", *PLACE, "--prompt-file", file, "-n", "8"), expected)
        with open(file) as stdin:
            self.assertEqual(self.good("ktx-run", *PLACE, "-f", "-", "-n", "8", stdin=stdin), expected)

    def test_the_same_text_on_every_isa_level(self):
        # The reference kernels multiply f32 activations where the others use int8 ones; their logits
        # differ by that rounding, which decides the first near tie after these tokens.
        levels = ["scalar", "avx2", "avx512", "avx512_vnni"]
        texts = {}
        for level in levels:
            done = run("ktx-run", *PLACE, "-p", "The history of", "-n", "12",
                       env={**os.environ, "KTX_ISA": level})
            if "this CPU" in done.stderr:
                continue
            self.assertEqual(done.returncode, 0, done.stderr)
            texts[level] = done.stdout
        self.assertIn("scalar", texts)
        self.assertEqual(len(set(texts.values())), 1, texts)

    def test_fewer_experts_are_a_flag(self):
        eight = self.good("ktx-run", *PLACE, "-p", "The history of", "-n", "24")
        two = self.good("ktx-run", *PLACE, "-p", "The history of", "-n", "24", "--experts-per-token", "2")
        self.assertNotEqual(eight, two)

    def test_prompt_longer_than_the_cache(self):
        self.fails("ktx-run", *PLACE, "-p", "the " * 50, "--cache-length", "20",
                   message="ktx-run: the prompt has 52 tokens, but the cache holds 20\n"
                           "  note: give a larger cache length, or a shorter prompt\n")

    def test_without_a_limit_the_cache_ends_it(self):
        done = run("ktx-run", *PLACE, "-p", "The history of", "-n", "-1", "--cache-length", "20")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"; decode 16 tokens, \S+ tokens/s; stopped: the cache is full\n$")

    def test_a_system_message_changes_the_chat(self):
        args = [*PLACE, "-p", "Hello", "--chat", "-n", "1", "--json"]
        plain = json.loads(self.good("ktx-run", *args))["prompt_ids"]
        told = json.loads(self.good("ktx-run", *args, "--system", "The history of"))["prompt_ids"]
        self.assertEqual(told, [plain[0], 417, 3072, 290, 203, 203, *plain[1:]])  # 203: a newline

    def test_what_is_wrong_is_said_before_loading(self):
        # The file has its header only: loading it would fail with another message.
        file = self.folder / "header.gguf"
        file.write_bytes(MODEL.read_bytes()[:200_000])
        self.fails("ktx-run", *PLACE, "--prompt-file", self.folder / "none",
                   message="ktx-run: FOLDER/none: can't be read\n")
        self.fails("ktx-run", "--model", file, "--rules", CPU, "--prompt-file", self.folder / "none",
                   message="ktx-run: FOLDER/none: can't be read\n")

    def test_no_prompt_and_no_terminal(self):
        self.fails("ktx-run", *PLACE,
                   message="ktx-run: ktx-run: no prompt\n"
                           "  note: give --prompt or --prompt-file, or run on a terminal to chat\n")

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-p", "The", "-n", "4"],
                                  stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.endswith(
            "ktx-run: standard output: can't be written: No space left on device\n"), done.stderr)

    def test_ctrl_c_keeps_what_was_generated(self):
        command = [str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-p", "The history of", "-n", "100000",
                   "--cache-length", "100000"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        first = process.stdout.read(8)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(len(first), 8)
        self.assertTrue(out.endswith("\n"))
        self.assertRegex(err, r"^loaded in .*\nprefill 4 tokens, .*\nktx-run: interrupted after \d+ tokens\n$")

    def test_chat_on_a_terminal(self):
        terminal, theirs = pty.openpty()
        process = subprocess.Popen([str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-n", "8"],
                                   stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(theirs)
        os.write(terminal, b"Hello\nAnd then?\n/reset\nHello\n/exit\n")
        out, err = process.communicate(timeout=60)
        os.close(terminal)
        self.assertEqual(process.returncode, 0, err)
        answers = out.decode().split("\n")
        self.assertIn(b"chat format deepseek-v3", err)
        self.assertEqual(err.count(b"prefill"), 3)
        self.assertEqual(answers[0], answers[-2])  # after /reset the first question again


class Plan(Case):
    def test_text_and_json_tell_the_same(self):
        text = self.good("ktx-plan", "--model", MODEL, "--rules", CPU)
        plan = json.loads(self.good("ktx-plan", "--model", MODEL, "--rules", CPU, "--json"))
        for module in plan["modules"]:
            self.assertIn(module["path"].replace(f".layers.{module['layer']}.", ".layers.*."), text)

    def test_mtp_layers_are_named_as_not_used(self):
        shared = pathlib.Path(os.environ.get("KTX_SHARED", ROOT / "../shared"))
        if not (shared / "models/tiny-v3").is_dir():
            self.skipTest("models/tiny-v3 in BF16 (69 MB) is not in the repository; set KTX_SHARED")
        text = self.good("ktx-plan", "--model", shared / "models/tiny-v3", "--rules", CPU)
        self.assertRegex(text, r"\nnot run\n  model\.layers\.4  ")

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


REST = "  - name: rest\n    match: {name: '.*'}\n    place: {device: cpu}\n"


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
                    "  note: valid keys: device, op, format, numa, spread, experts\n")

    def test_a_typo_in_a_class_name(self):
        self.refuse("  - name: a\n    match: {class: moe.expert}\n    place: {device: cpu}\n",
                    ":4:20: unknown class 'moe.expert'\n"
                    "  note: did you mean 'moe.experts'?\n"
                    "  note: valid classes: embedding, head, norm, linear, attention, attention.mla, "
                    "attention.gqa, mlp, mlp.dense, mlp.shared, moe, moe.router, moe.experts, mtp\n")

    def test_a_rule_that_matches_nothing(self):
        self.refuse("  - name: a\n    match: {name: vision_tower}\n    place: {device: cpu}\n",
                    ":4:12: rule 'a' matches no module of this model\n"
                    "  note: no module's path contains a match of 'vision_tower'\n", rest=REST)

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
                    ": no rule matches model.embed_tokens (class embedding) and 53 more modules\n"
                    "  note: add a last rule for all that is left: {name: rest, match: {name: '.*'}, "
                    "place: {device: cpu}}\n")

    def test_a_device_that_is_not_there(self):
        self.refuse("  - name: a\n    match: {name: '.*'}\n    place: {device: 'cuda:9'}\n",
                    ":5:21: device cuda:9: this machine has no GPU\n"
                    "  note: devices of this machine: cpu\n")

    def test_more_experts_than_there_are(self):
        self.refuse(REST,
                    ":2:28: experts_per_token: expected 1 to 16, found 40\n"
                    "  note: layer 1 has 32 routed experts in 8 groups, of which a token uses 4\n",
                    head="ktx: 1\nmodel: {experts_per_token: 40}\nrules:\n")

    def test_a_kernel_that_is_not_there(self):
        self.refuse("  - name: a\n    match: {class: moe.experts}\n    place: {device: cpu, op: moe.sse}\n",
                    ":5:30: op moe has no kernel 'sse'\n"
                    "  note: valid kernels of moe: auto, amx, avx512_vnni, avx512, avx2, ref\n", rest=REST)

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
        index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        done = run("ktx-plan", "--model", folder, "--rules", CPU)
        self.assertEqual(done.returncode, 1)
        self.assertIn("model-00001-of-00002.safetensors", done.stderr)
        self.assertIn("model.norm.weight", done.stderr)


class Eval(Case):
    def test_tokenize(self):
        out = self.good("ktx-eval", "tokenize", "--model", MODEL, "--text", "The history of")
        self.assertEqual(json.loads(out), [417, 3072, 290])
        lines = self.folder / "lines.json"
        lines.write_text(json.dumps(["The history of", "", "<｜User｜>"]))
        out = self.good("ktx-eval", "tokenize", "--model", MODEL, "--lines", lines)
        self.assertEqual(json.loads(out), [[417, 3072, 290], [], [3]])

    def test_perplexity(self):
        text = self.folder / "text"
        text.write_text("It was the best of times, it was the worst of times. " * 20)
        args = ["perplexity", *PLACE, "--text", text, "--window", "64", "--windows", "2", "--json"]
        out = json.loads(self.good("ktx-eval", *args))
        self.assertEqual(out["tokens"], 128)
        self.assertAlmostEqual(out["ppl"], math.exp(out["nll"]), delta=1e-9 * out["ppl"])

    def test_logits(self):
        file = self.folder / "logits.safetensors"
        self.good("ktx-eval", "logits", *PLACE, "--ids", "0,417,3072", "--out", file)
        data = file.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + size])
        self.assertEqual(header["logits"]["shape"], [3, 4096])
        self.assertEqual(header["logits"]["dtype"], "F32")
        self.assertEqual(len(data), 8 + size + 3 * 4096 * 4)

    def test_full_disk(self):
        self.fails("ktx-eval", "logits", *PLACE, "--ids", "0", "--out", "/dev/full",
                   message="ktx-eval: /dev/full: can't be written: No space left on device\n")

    def test_a_folder_that_is_not_there(self):
        self.fails("ktx-eval", "logits", *PLACE, "--ids", "0", "--out", self.folder / "none/logits",
                   message="ktx-eval: FOLDER/none/logits: can't be written: No such file or directory\n")

    def test_a_text_shorter_than_a_window(self):
        text = self.folder / "text"
        text.write_text("The history of")
        self.fails("ktx-eval", "perplexity", *PLACE, "--text", text,
                   message="ktx-eval: FOLDER/text: the text has 3 tokens: expected at least one window "
                           "of 512\n")


class Inspect(Case):
    def test_metadata_shortens_long_arrays(self):
        text = self.good("ktx-inspect", MODEL, "--metadata")
        tokens = json.loads(text)["tokenizer.ggml.tokens"]
        whole = json.loads(self.good("ktx-inspect", MODEL, "--metadata", "--json"))["tokenizer.ggml.tokens"]
        self.assertEqual(len(whole), 4096)
        self.assertEqual(tokens, [*whole[:8], "... 4096 in all"])

    def test_graph(self):
        text = self.good("ktx-inspect", MODEL, "--graph")
        self.assertIn("embedding", text)
        self.assertEqual(json.loads(self.good("ktx-inspect", MODEL, "--graph", "--json")), text.splitlines())


class Bench(Case):
    def test_rows(self):
        out = json.loads(self.good("ktx-bench", *PLACE, "-p", "8,16", "-n", "4", "-r", "2", "--json"))
        self.assertEqual([row["test"] for row in out["rows"]], ["prefill 8", "prefill 16", "decode 4"])
        for row in out["rows"]:
            self.assertGreater(row["tokens_per_second"], 0)
        decode = out["rows"][2]
        speed = decode["tokens_per_second"] * out["bytes_per_token"]
        self.assertAlmostEqual(decode["gbytes_per_second"], speed / 1e9, delta=speed * 1e-15)
        prefill = out["rows"][0]
        self.assertAlmostEqual(prefill["tflops"], prefill["tokens_per_second"] * 2 * out["weights_per_token"] / 1e12)
        machine = out["machine"]
        self.assertAlmostEqual(decode["percent_of_bandwidth"], speed / machine["read_bandwidth"] * 100, places=6)
        best = max((peak["ops_per_second"] for peak in machine["peaks"]), default=0)
        if best:
            self.assertAlmostEqual(prefill["percent_of_peak"], prefill["tflops"] * 1e14 / best, places=6)
        text = self.good("ktx-bench", *PLACE, "-p", "8", "-n", "4", "-r", "1")
        self.assertIn("| prefill 8 | ", text)

    def test_kernels(self):
        small = ["--hidden", "256", "--intermediate", "512", "--experts", "9", "-t", "2", "-r", "2"]
        out = json.loads(self.good("ktx-bench", "kernels", *small, "--formats", "q4_k,int8", "--kernels", "auto,ref",
                                   "--tokens-per-expert", "1,16", "--json"))
        rows = [(row["format"], row["tokens_per_expert"], row["active_experts"]) for row in out["rows"]]
        one = [(1, 8), (16, 9)]
        self.assertEqual(rows, [(name, *rest) for name in ("q4_k", "int8") for _ in range(2) for rest in one])
        for row in out["rows"]:
            self.assertEqual((row["op"], row["experts"]), ("moe", 9))
            weights = 3 * 256 * 512 * row["active_experts"]
            self.assertAlmostEqual(row["gbytes_per_second"] * row["seconds"] * 1e9, row["weight_bytes"], delta=1)
            self.assertAlmostEqual(row["tflops"] * row["seconds"] * 1e12, 2 * weights * row["tokens_per_expert"], delta=1)
            self.assertAlmostEqual(row["percent_of_bandwidth"],
                                   row["gbytes_per_second"] * 1e11 / row["read_bandwidth"], places=6)
        self.assertEqual(out["rows"][2]["kernel"], "ref")
        text = self.good("ktx-bench", "kernels", "--op", "linear", *small, "--formats", "bf16", "--tokens-per-expert", "3")
        self.assertRegex(text, r"\n\| linear \| bf16 \| \w+ \| 3 \| 1 of 9 \| ")

    def test_kernels_with_wrong_names(self):
        self.fails("ktx-bench", "kernels", "--formats", "q4_k,q4k",
                   message=run("ktx-bench", "kernels", "--formats", "q4k").stderr)
        self.assertRegex(run("ktx-bench", "kernels", "--formats", "q4k").stderr,
                         r"^ktx-bench: no such format: 'q4k'\n  note: did you mean 'q4_k'")
        self.assertRegex(run("ktx-bench", "kernels", "--kernels", "avx3").stderr,
                         r"^ktx-bench: no such kernel: 'avx3'\n  note: did you mean 'avx2'")
        self.assertRegex(run("ktx-bench", "kernels", "--op", "mao").stderr,
                         r"^ktx-bench: no such op to measure: 'mao'\n")
        self.fails("ktx-bench", "kernels", "--hidden", "100", "--formats", "q4_k",
                   message="ktx-bench: format q4_k can't store rows of 100 numbers, which are no multiple of 256\n")
        self.fails("ktx-bench", "kernels", "--tokens-per-expert", "1,0",
                   message="ktx-bench: can't measure 0 tokens: expected 1 to 1048576\n")
        self.assertEqual(run("ktx-bench", "kernels", "--json", "--markdown").returncode, 2)


class Synth(Case):
    SMALL = ["--arch", "deepseek-v3", "--dense-layers", "1", "--experts", "16"]
    for size in ("hidden_size=256", "intermediate_size=256", "moe_intermediate_size=256", "vocab_size=512",
                 "num_attention_heads=2", "q_lora_rank=256", "kv_lora_rank=256"):
        SMALL += ["--set", size]

    def test_a_written_model_runs_and_is_as_large_as_foretold(self):
        file = self.folder / "m.gguf"
        args = [*self.SMALL, "--moe-layers", "1", "--out", file]
        said = self.good("ktx-synth", *args, "--dry-run")
        self.assertFalse(file.exists())
        done = self.good("ktx-synth", *args)
        self.assertTrue(done.startswith(said.strip()), (said, done))
        self.assertTrue(said.startswith(f"{file}: {file.stat().st_size} bytes, "), said)
        self.good("ktx-bench", "--model", file, "--rules", CPU, "-p", "8", "-n", "2", "-r", "1", "-t", "2")
        self.fails("ktx-synth", *args,
                   message="ktx-synth: FOLDER/m.gguf: exists already; remove it or choose another name\n")

    def test_wrong_arguments(self):
        out = ["--out", self.folder / "m.gguf"]
        self.fails("ktx-synth", "--arch", "kimi-k3", *out,
                   message="ktx-synth: no published model 'kimi-k3'\n  note: did you mean 'kimi-k2'?\n"
                           "  note: valid models: deepseek-v3, kimi-k2, qwen3-235b\n")
        self.fails("ktx-synth", "--mix", "q4_k_l", *out,
                   message="ktx-synth: no mix 'q4_k_l'\n  note: did you mean 'q4_k_m' or 'q4_k'?\n"
                           "  note: valid mixes: q4_k_m, q4_k, q8_0, bf16, fp8\n")
        done = run("ktx-synth", "--set", "vocab_size=many", *out)
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected NAME=NUMBER, found 'vocab_size=many'", done.stderr)

    def test_interrupted_it_leaves_nothing(self):
        tool = BUILD / "tools/ktx-synth"
        with subprocess.Popen([tool, *self.SMALL, "--moe-layers", "1000", "--out", self.folder / "m.gguf"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            while not any(self.folder.iterdir()):  # it has not begun to write
                self.assertIsNone(running.poll(), "ended too early")
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 1)
        self.assertEqual(err, f"ktx-synth: {self.folder}/m.gguf: stopped; nothing of it is left\n")
        self.assertEqual(list(self.folder.iterdir()), [])


class Usage(Case):
    def test_exit_codes(self):
        for tool in ("ktx-run", "ktx-plan", "ktx-inspect", "ktx-eval", "ktx-bench", "ktx-synth"):
            self.assertEqual(run(tool, "--help").returncode, 0)
            self.assertEqual(run(tool, "--no-such-option").returncode, 2)
            self.assertEqual(run(tool).returncode, 2)
        self.assertEqual(run("ktx-run", "--model", "/none", "--rules", CPU, "-p", "x").returncode, 1)

    def test_numbers_out_of_range(self):
        for option, value, expected in (
            ("--temperature", "-0.1", ">= 0"),
            ("--temperature", "nan", ">= 0"),
            ("--top-k", "-1", ">= 0"),
            ("--top-p", "0", "above 0, at most 1"),
            ("--min-p", "1.5", "from 0 to 1"),
            ("--repetition-penalty", "0", "above 0"),
            ("--max-new-tokens", "-2", ">= -1"),
        ):
            done = run("ktx-run", *PLACE, "-p", "x", option, value)
            self.assertEqual(done.returncode, 2, option)
            self.assertIn(f"{option}: expected a number {expected}, found {value}", done.stderr)
        self.assertEqual(run("ktx-run", *PLACE, "-p", "x", "--system", "y").returncode, 2)
        done = run("ktx-eval", "logits", *PLACE, "--ids", "0,-5", "--out", self.folder / "x")
        self.assertEqual(done.returncode, 2)

    def test_version(self):
        for tool in ("ktx-run", "ktx-plan", "ktx-inspect", "ktx-eval", "ktx-bench", "ktx-synth"):
            self.assertRegex(self.good(tool, "--version"), rf"^{tool} \d+\.\d+\.\d+\n$")

    def test_full_disk(self):
        for tool, option in (("ktx-plan", "--keywords"), ("ktx-plan", "--help"), ("ktx-run", "--version")):
            with open("/dev/full", "w") as full:
                done = subprocess.run([str(BUILD / "tools" / tool), option], stdout=full,
                                      stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr,
                             f"{tool}: standard output: can't be written: No space left on device\n")

    def test_keywords(self):
        text = self.good("ktx-plan", "--keywords")
        for word in ("experts_per_token", "match", "class", "layers", "format", "numa"):
            self.assertIn(word, text)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
