#!/usr/bin/env python3
"""The other tools from outside, and what all of them have in common.

Usage: tools_test.py BUILD_DIR [unittest arguments]
"""

import json
import math
import re
import signal
import struct
import subprocess
import sys
import time
import unittest

from command_lines import BUILD, CPU, Case, MODEL, PLACE, run


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

    def test_chat(self):
        messages, template = self.folder / "messages.json", self.folder / "chat.jinja"
        messages.write_text('[{"role": "user", "content": "Hi {{ 1 }} \\u00e9"}]')
        out = self.good("ktx-eval", "chat", "--model", MODEL, "--messages", messages)
        self.assertEqual(out, "<｜begin▁of▁sentence｜><｜User｜>Hi {{ 1 }} é<｜Assistant｜>")
        out = self.good("ktx-eval", "chat", "--model", MODEL, "--messages", messages, "--no-generation-prompt")
        self.assertEqual(out, "<｜begin▁of▁sentence｜><｜User｜>Hi {{ 1 }} é")
        template.write_text("{{ x }}{{ y }}{{ tools | tojson }}{{ messages[0].role }}\n\n")
        tools = self.folder / "tools.json"
        tools.write_text('[{"a": "b"}]')
        args = ["chat", "--template", template, "--messages", messages]
        out = self.good("ktx-eval", *args, "--tools", tools, "--set", "x=[1]", "--set", 'y="z"')
        self.assertEqual(out, '[1]z[{"a": "b"}]user\n')
        self.assertEqual(self.good("ktx-eval", *args), "nulluser\n")
        template.write_text("\n {{ raise_exception('no: ' ~ messages | length) }}")
        self.fails("ktx-eval", *args, message="ktx-eval: FOLDER/chat.jinja:2:20: no: 1\n")
        self.fails("ktx-eval", "chat", "--messages", messages, code=2,
                   message="--model or --template is required\nRun with --help for more information.\n")

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


class Numbers(Case):
    """Options that take numbers take those only, in decimal digits."""

    def refuses(self, tool, *args):
        done = run(tool, *args)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, rf"expected a (whole )?number .*, found '?{re.escape(args[-1])}'?\n")

    def test_whole_numbers(self):
        for value in ("010", "0x10", "1.5", "+1", " 1", "1k", "", "-2", "9223372036854775808"):
            self.refuses("ktx-run", *PLACE, "-p", "x", "-n", value)
        for value in ("-1", "18446744073709551616"):
            self.refuses("ktx-run", *PLACE, "-p", "x", "-s", value)
            self.refuses("ktx-synth", "--out", "x.gguf", "--dry-run", "--seed", value)
        self.good("ktx-synth", "--out", "x.gguf", "--dry-run", "--seed", "18446744073709551615")
        for option in ("-t", "-k", "-c"):
            self.refuses("ktx-plan", *PLACE[:4], option, "0")
        self.refuses("ktx-plan", *PLACE[:4], "-k", "")
        self.refuses("ktx-bench", *PLACE, "-p", "a")
        self.refuses("ktx-bench", "kernels", "--experts", "0")
        self.refuses("ktx-eval", "perplexity", *PLACE, "--text", "x", "--windows", "0")

    def test_numbers_beyond_float32(self):
        self.refuses("ktx-run", *PLACE, "-p", "x", "--temperature", "1e300")
        self.refuses("ktx-run", *PLACE, "-p", "x", "--repetition-penalty", "1e300")
        self.refuses("ktx-run", *PLACE, "-p", "x", "--temperature", "nan")


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
        text = self.good("ktx-bench", *PLACE, "-p", "8", "-n", "4", "-r", "1", "--decode-experts", "4,2")
        for row in ("prefill 8", "decode 4, 4 experts", "decode 4, 2 experts"):
            self.assertIn(f"| {row} | ", text)

    def test_profile(self):
        trace = self.folder / "trace.json"
        text = self.good("ktx-bench", *PLACE, "-p", "8", "-r", "1", "--profile", trace)
        events = json.loads(trace.read_text())
        for step in ("prefill: 8 tokens after 0, ", "decode: 1 token after 0, "):
            self.assertIn(step, text)
        self.assertEqual(text.count("neither works: "), 2)
        self.assertIn("| µs a layer | start | dense | moe × 3 | logits | step | of it |", text)
        self.assertEqual({event["args"]["layer"] for event in events if event["ph"] == "X"}, set(range(-1, 5)))
        self.assertEqual(self.good("ktx-bench", *PLACE, "-p", "8", "-r", "1", "--profile").count("neither works: "), 2)
        self.fails("ktx-bench", *PLACE, "--profile", self.folder,
                   message="ktx-bench: FOLDER: can't be written: Is a directory\n")

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

    def test_all_experts_of_a_layer(self):
        layer = ["--all-experts", "--hidden", "256", "--intermediate", "512", "--experts", "20", "-t", "2", "-r", "2"]
        out = json.loads(self.good("ktx-bench", "kernels", *layer, "--formats", "q4_k,int8", "--tokens", "5,60", "--json"))
        self.assertEqual([(row["op"], row["format"], row["tokens"], row["experts"]) for row in out["rows"]],
                         [("layer", name, tokens, 20) for name in ("q4_k", "int8") for tokens in (5, 60)])
        for row in out["rows"]:
            self.assertAlmostEqual(row["tflops"] * row["seconds"] * 1e12, 2 * 3 * 256 * 512 * 8 * row["tokens"], delta=1)
        text = self.good("ktx-bench", "kernels", *layer, "--formats", "int8")
        self.assertRegex(text, r"\n\| layer \| int8 \| \w+ \| 512 \| 20 of 20 \| ")
        self.assertRegex(text, r"\n\| layer \| int8 \| \w+ \| 2048 \| 20 of 20 \| ")
        self.assertRegex(run("ktx-bench", "kernels", "--all-experts", "--experts", "1024", "--hidden", "131072",
                             "--intermediate", "131072", "--formats", "bf16").stderr,
                         r"^ktx-bench: 1024 experts in bf16 need 96.0 TiB, .* of memory are free\n  note: fewer experts ")
        self.assertEqual(run("ktx-bench", "kernels", "--all-experts", "--tokens-per-expert", "1").returncode, 2)
        self.assertEqual(run("ktx-bench", "kernels", "--tokens", "1").returncode, 2)

    def test_attention(self):
        layer = ["kernels", "--op", "mla", "--layers", "1", "-t", "2", "-r", "1"]
        out = json.loads(self.good("ktx-bench", *layer, "--context", "1,65", "--batch", "1,2", "--json"))
        self.assertEqual([(row["op"], row["format"], row["batch"], row["context"]) for row in out["rows"]],
                         [("mla", "q8_0", batch, context) for batch in (1, 2) for context in (1, 65)])
        for row in out["rows"]:
            products = row["batch"] * 128 * (512 * (128 + 128) + row["context"] * (576 + 512))
            self.assertAlmostEqual(row["tflops"] * row["seconds"] * 1e12, 2 * products, delta=1)
        text = self.good("ktx-bench", *layer, "--context", "9", "--formats", "bf16", "--cache", "fp8", "--kernels", "ref")
        self.assertRegex(text, r"\n\| bf16 \| ref \| fp8 \| 9 \| 1 \| ")
        self.fails("ktx-bench", *layer, "--all-experts",
                   message="ktx-bench: op mla takes neither --compare nor --all-experts, and one number of --threads\n")

    def test_compare(self):
        small = ["--hidden", "256", "--intermediate", "512", "--experts", "9", "-t", "2", "-r", "1",
                 "--tokens-per-expert", "1,3"]
        before = self.folder / "before.json"
        out = json.loads(self.good("ktx-bench", "kernels", *small, "--formats", "q4_k", "--json"))
        out["rows"][1]["seconds"] *= 1e6  # so long that the ratio tells which row it is of
        before.write_text(json.dumps(out))
        again = json.loads(self.good("ktx-bench", "kernels", *small, "--formats", "q4_k,int8", "--compare", before, "--json"))
        for row, earlier in zip(again["rows"], out["rows"]):
            self.assertAlmostEqual(row["times_as_fast"] * row["seconds"] / earlier["seconds"], 1, places=9)
        self.assertGreater(again["rows"][1]["times_as_fast"], 1000)
        self.assertNotIn("times_as_fast", again["rows"][2])  # int8 was not measured before
        text = self.good("ktx-bench", "kernels", *small, "--formats", "q4_k,int8", "--compare", before)
        cells = [len(line.split("|")) for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(cells, [15] * 6)
        self.assertIn(" times as fast |\n", text)
        self.fails("ktx-bench", "kernels", "--hidden", "512", "--compare", before,
                   message="ktx-bench: FOLDER/before.json: expected rows of hidden 512, intermediate 2048, "
                           "found hidden 256, intermediate 512\n")
        for other in ("{", "[]", '{"rows": [1]}'):
            before.write_text(other)
            self.fails("ktx-bench", "kernels", "--compare", before,
                       message="ktx-bench: FOLDER/before.json: expected the output of 'ktx-bench kernels --json'\n")

    def test_kernels_with_wrong_names(self):
        self.fails("ktx-bench", "kernels", "--formats", "q4_k,q4k",
                   message=run("ktx-bench", "kernels", "--formats", "q4k").stderr)
        self.assertRegex(run("ktx-bench", "kernels", "--formats", "q4k").stderr,
                         r"^ktx-bench: no such format: 'q4k'\n  note: did you mean 'q4_k'")
        self.assertRegex(run("ktx-bench", "kernels", "--kernels", "avx3").stderr,
                         r"^ktx-bench: no such kernel: 'avx3'\n  note: did you mean 'avx2'")
        self.assertRegex(run("ktx-bench", "kernels", "--op", "mao").stderr, "^--op: mao not in {moe,linear,mla}\n")
        self.fails("ktx-bench", "kernels", "--hidden", "100", "--formats", "q4_k",
                   message="ktx-bench: format q4_k can't store rows of 100 numbers, which is not a multiple of 256\n")
        self.fails("ktx-bench", "kernels", "--tokens-per-expert", "1048577",
                   message="ktx-bench: can't measure 1048577 tokens: expected 1 to 1048576\n")
        self.assertIn("--tokens-per-expert: expected a whole number from 1",
                      run("ktx-bench", "kernels", "--tokens-per-expert", "1,0").stderr)
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
                           "  note: valid models: deepseek-v3, deepseek-v2, deepseek-v2-lite, kimi-k2, qwen3-235b, "
                           "qwen3-30b-a3b, mixtral-8x7b\n")
        self.fails("ktx-synth", "--mix", "q4_k_l", *out,
                   message="ktx-synth: no mix 'q4_k_l'\n  note: did you mean 'q4_k_m' or 'q4_k' or 'q2_k_xl'?\n"
                           "  note: valid mixes: q4_k_m, q4_k, q2_k_xl, iq2_xxs, iq1_s, mxfp4, q8_0, bf16, fp8\n")
        done = run("ktx-synth", "--set", "vocab_size=many", *out)
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected NAME=NUMBER, found 'vocab_size=many'", done.stderr)

    def test_interrupted_it_leaves_nothing(self):
        tool = BUILD / "tools/ktx-synth"
        with subprocess.Popen([tool, *self.SMALL, "--moe-layers", "500", "--set", "moe_intermediate_size=2048", "--out", self.folder / "m.gguf"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            while not any(self.folder.iterdir()):  # it has not begun to write
                self.assertIsNone(running.poll(), "ended too early")
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 1)
        self.assertEqual(err, f"ktx-synth: {self.folder}/m.gguf: stopped; nothing was kept\n")
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
            ("--temperature", "-0.1", "number >= 0, found -0.1"),
            ("--temperature", "nan", "number >= 0, found nan"),
            ("--top-k", "-1", "whole number from 0 to 2147483647, found '-1'"),
            ("--top-p", "0", "number above 0, at most 1, found 0"),
            ("--min-p", "1.5", "number from 0 to 1, found 1.5"),
            ("--repetition-penalty", "0", "number above 0, found 0"),
            ("--frequency-penalty", "inf", "number, found inf"),
            ("--max-new-tokens", "-2", "whole number from -1 to 9223372036854775807, found '-2'"),
        ):
            done = run("ktx-run", *PLACE, "-p", "x", option, value)
            self.assertEqual(done.returncode, 2, option)
            self.assertIn(f"{option}: expected a {expected}", done.stderr)
        self.assertEqual(run("ktx-run", *PLACE, "-p", "x", "--system", "y").returncode, 2)
        done = run("ktx-eval", "logits", *PLACE, "--ids", "0,-5", "--out", self.folder / "x")
        self.assertEqual(done.returncode, 2)

    def test_lists_without_a_value(self):
        for tool, option, text in (
            ("ktx-bench", "--prefill", "512,,2048"),
            ("ktx-bench", "--prefill", "512,"),
            ("ktx-bench", "--prefill", ""),
            ("ktx-bench kernels", "--formats", ",q4_k"),
            ("ktx-eval logits", "--ids", "0,5,"),
        ):
            tool, *command = tool.split()
            done = run(tool, *command, option, text)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"{option}: expected values between commas, found '{text}'\n", done.stderr)
        done = run("ktx-bench", "-p", "512,0", "64")
        self.assertIn("--prefill: expected a whole number from 1 to 1048576, found '0'\n", done.stderr)

    def test_version(self):
        for tool in ("ktx-run", "ktx-plan", "ktx-inspect", "ktx-eval", "ktx-bench", "ktx-synth"):
            chats = r"chats: .*\n" if tool == "ktx-run" else ""
            self.assertRegex(self.good(tool, "--version"), rf"^{tool} \d+\.\d+\.\d+\n{chats}$")

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
