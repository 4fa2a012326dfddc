#!/usr/bin/env python3
"""ktx-run from outside: output, exit codes, and the exact messages for bad input.

Usage: run_test.py BUILD_DIR [unittest arguments]
"""

import json
import os
import pty
import signal
import subprocess
import sys
import unittest

from command_lines import BUILD, CPU, Case, MODEL, PLACE, run


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

    def test_one_file_is_enough(self):
        head = f"ktx: 1\nmodel: {{path: {MODEL}}}\ncontext: 64\nthreads: 2\nweights_cache: packed\n"
        rules = self.rules(head + "rules:\n  - {name: all, match: {name: '.*'}, place: {}}\n")
        text = self.good("ktx-run", "--rules", rules, "-p", "The history of", "-n", "8")
        self.assertEqual(text, self.good("ktx-run", *PLACE, "-p", "The history of", "-n", "8"))
        self.assertTrue(any((self.folder / "packed").iterdir()))
        other = self.good("ktx-run", "--rules", rules, "--tokenizer", MODEL, "-p", "The history of", "-n", "8")
        self.assertEqual(other, text)
        self.fails("ktx-run", "--rules", rules, "--tokenizer", self.folder / "none", "-p", "x",
                   message="ktx-run: FOLDER/none: no tokenizer: no such file or directory\n"
                           "  note: a tokenizer is a .gguf, tokenizer.json or tiktoken.model, or a directory "
                           "with one of them\n")

    def test_slow_kernels_are_warned_of_at_the_start(self):
        done = run("ktx-run", *PLACE, "-p", "The", "-n", "1", env={**os.environ, "KTX_ISA": "scalar"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"^ktx-run: warning: SLOW: .* times slower")
        self.assertIn("\nloaded in", done.stderr)

    def test_an_entry_that_is_cut_off_while_it_runs_is_an_error(self):
        cache = self.folder / "cache"
        args = [*PLACE, "--cache", cache, "-p", "The history of"]
        self.good("ktx-run", *args, "-n", "1")
        entries = sorted(cache.glob("*.packed"))
        command = [str(BUILD / "tools/ktx-run"), *map(str, args), "-n", "-1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            process.stdout.read(1)  # it runs
            for entry in entries:
                os.truncate(entry, 0)
            stderr = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1, stderr)
        self.assertRegex(stderr, r"ktx-run: \S+/cache/[0-9a-f]{64}\.packed: was truncated while in use\n"
                                 r"  note: the next start writes it again\n$")
        done = run("ktx-run", *args, "-n", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"expected \d+ bytes, found 0; it is written again\n")

    def test_a_synthetic_model_runs_without_a_file(self):
        small = "hidden_size=256,intermediate_size=512,moe_intermediate_size=256,vocab_size=600"
        spec = f"synth:qwen3-235b,mix=q4_k_m,moe=2,experts=32,{small}"
        out = self.good("ktx-run", "--model", spec, "--rules", CPU, "-p", "Any text", "-n", "4", "--json")
        self.assertEqual(len(json.loads(out)["prompt_ids"]), 8)  # byte by byte
        self.fails("ktx-run", "--model", "synth:qwen3-235b,mix=q4_km", "--rules", CPU, "-p", "x",
                   message="ktx-run: synth:qwen3-235b,mix=q4_km: no mix 'q4_km'\n"
                           "  note: did you mean 'q4_k_m' or 'q4_k'?\n"
                           "  note: valid mixes: q4_k_m, q4_k, q2_k_xl, iq2_xxs, iq1_s, mxfp4, q8_0, bf16, fp8\n")

    def test_a_killed_start_leaves_nothing_half(self):
        cache = self.folder / "cache"
        args = [*PLACE, "--cache", cache, "-p", "The history of"]
        command = [str(BUILD / "tools/ktx-run"), *map(str, args), "-n", "-1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            process.stdout.read(1)  # it answers; the cache is being written or was
            process.kill()
        done = run("ktx-run", *args, "-n", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("warning", done.stderr)
        self.assertEqual({file.suffix for file in cache.iterdir()}, {".packed", ".source"})
        done = run("ktx-run", *args, "-n", "4")
        self.assertRegex(done.stderr, r"^loaded in \S+ s: mapped \S+ MB of packed weights\n")

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

    def test_stop_strings_end_the_text(self):
        say = [*PLACE, "-p", "The history of", "-n", "24"]
        text = self.good("ktx-run", *say)[:-1]
        stop = text[10:16]
        done = run("ktx-run", *say, "--stop", "never said", "--stop", stop)
        self.assertEqual(done.stdout, text[: text.index(stop)] + "\n")
        self.assertTrue(done.stderr.endswith("; stopped: found a --stop text\n"), done.stderr)
        out = json.loads(self.good("ktx-run", *say, "--stop", stop, "--json"))
        self.assertEqual((out["text"], out["stop"]), (text[: text.index(stop)], "stop_string"))
        # What the option parser takes for lists.
        braces = ["--logit-bias", "95+1e4", "--logit-bias", "97+9999", "--frequency-penalty", "10"]
        self.assertEqual(self.good("ktx-run", *say, *braces, "--stop", "}{}"), "{}\n")
        self.assertEqual(self.good("ktx-run", *say, *braces, "--stop", "{}"), "\n")
        for no_text, found in (("", "a text, found none"), ("a\udcff", "UTF-8, found bytes that are none behind 'a'")):
            self.fails("ktx-run", *say, "--stop", no_text, code=2,
                       message=f"ktx-run: --stop: stop string: expected {found}\n")

    def test_penalties_and_logit_biases(self):
        say = [*PLACE, "-p", "The history of", "-n", "6"]
        self.assertEqual(self.good("ktx-run", *say, "--logit-bias", "77+1e4"), "iiiiii\n")
        more = ["--logit-bias", "77-inf", "--logit-bias", "78+2e4"]
        self.assertEqual(self.good("ktx-run", *say, "--logit-bias", "77+1e4", *more), "jjjjjj\n")
        self.assertEqual(self.good("ktx-run", *say, "--logit-bias", "77+1e4", "--logit-bias", "78+9999",
                                   "--presence-penalty", "50"), "ijiiii\n")
        for wrong in ("77", "77+", "77+inf", "77-nan", "x+1", "77++1", "77-0x1", " 77-1", "2147483648+1", "+1", ""):
            done = run("ktx-run", *say, "--logit-bias", wrong)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"--logit-bias: expected ID+BIAS, ID-BIAS or ID-inf, found '{wrong}'", done.stderr)
        self.fails("ktx-run", *say, "--logit-bias", "4096+1", code=2,
                   message="ktx-run: --logit-bias: expected a token id from 0 to 4095, found 4096\n")

    def test_fewer_experts_are_a_flag(self):
        eight = self.good("ktx-run", *PLACE, "-p", "The history of", "-n", "24")
        two = self.good("ktx-run", *PLACE, "-p", "The history of", "-n", "24", "--experts-per-token", "2")
        self.assertNotEqual(eight, two)

    def test_prompt_longer_than_the_cache(self):
        self.fails("ktx-run", *PLACE, "-p", "the " * 50, "--cache-length", "20",
                   message="ktx-run: the prompt has 52 tokens, but the cache holds 20\n"
                           "  note: use a longer context (--context), or a shorter prompt\n")

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
                   message="ktx-run: FOLDER/none: can't be read: No such file or directory\n")
        self.fails("ktx-run", "--model", file, "--rules", CPU, "--prompt-file", self.folder / "none",
                   message="ktx-run: FOLDER/none: can't be read: No such file or directory\n")

    def test_options_of_chats_need_one(self):
        for option in (["--system", "x"], ["--set", "a=1"], ["--tools", MODEL], ["--chat-template", MODEL]):
            self.fails("ktx-run", *PLACE, "-p", "x", *option, code=2,
                       message=f"{option[0]} requires --chat\nRun with --help for more information.\n")

    def test_sampling_at_temperature_0_is_warned_of(self):
        done = run("ktx-run", *PLACE, "-p", "The", "-n", "1", "--top-p", "0.5", "-s", "3")
        self.assertRegex(done.stderr, r"^ktx-run: warning: no effect at temperature 0: --top-p, --seed\n")
        done = run("ktx-run", *PLACE, "-p", "The", "-n", "1", "--top-p", "0.5", "-s", "3", "--temperature", "1")
        self.assertNotIn("warning", done.stderr)

    def test_a_longer_context_than_trained_is_warned_of(self):
        done = run("ktx-run", *PLACE, "-p", "The", "-n", "1", "-c", "5000")
        self.assertRegex(done.stderr, r"^ktx-run: warning: a context of 5000 tokens, but the model was trained "
                                      r"for 4096\n")

    def test_the_end_of_a_text_can_be_ignored(self):
        # Every token ends the text: the first one that is probable.
        args = [*PLACE, "--override", "tokenizer.ggml.eos_token_id=ID", "-p", "The history of", "-n", "4", "--json"]
        first = json.loads(self.good("ktx-run", *PLACE, "-p", "The history of", "-n", "4", "--json"))["ids"]
        args = [str(arg).replace("=ID", f"={first[1]}") for arg in args]
        self.assertEqual(json.loads(self.good("ktx-run", *args))["ids"], first[:1])
        self.assertEqual(json.loads(self.good("ktx-run", *args, "--ignore-eos"))["ids"], first)

    def test_tools_that_are_no_json(self):
        file = self.folder / "tools.json"
        file.write_text("{")
        done = run("ktx-run", *PLACE, "-p", "x", "--chat", "--tools", file)
        self.assertTrue(done.stderr.startswith(f"ktx-run: {file}:1:2: "), done.stderr)

    def test_no_prompt_and_no_terminal(self):
        self.fails("ktx-run", *PLACE,
                   message="ktx-run: no prompt\n"
                           "  note: give --prompt or --prompt-file, or run on a terminal to chat\n")

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-p", "The", "-n", "4"],
                                  stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.endswith(
            "ktx-run: standard output: can't be written: No space left on device\n"), done.stderr)

    def test_ctrl_c_keeps_what_was_generated(self):
        command = [str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-p", "The history of", "-n", "-1"]
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
        # In f32 attention is the same for the prompt's first tokens and for what /reset leaves to be read.
        process = subprocess.Popen([str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-n", "8",
                                    "--cache-format", "f32"],
                                   stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(theirs)
        os.write(terminal, b"Hello\nAnd then?\n/reset\nHello\n/exit\n")
        out, err = process.communicate(timeout=60)
        os.close(terminal)
        self.assertEqual(process.returncode, 0, err)
        answers = out.decode().split("\n")
        self.assertIn(b"chat template of ", err)
        self.assertEqual(err.count(b"prefill"), 3)
        self.assertEqual(answers[0], answers[-2])  # after /reset the first question again

    def test_reasoning_is_dimmed_on_a_terminal(self):
        def answer(template):
            file = self.folder / "chat.jinja"
            file.write_text(template)
            terminal, theirs = pty.openpty()
            process = subprocess.Popen([str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-n", "8",
                                        "--chat-template", str(file)],
                                       stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
            os.close(theirs)
            os.write(terminal, b"Hello\n/exit\n")
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err)
            out = os.read(terminal, 65536)
            os.close(terminal)
            return out

        dimmed = answer("{{ bos_token }}{{ messages[-1].content }}<think>\n\n")
        self.assertIn(b"\x1b[2m", dimmed)
        self.assertLess(dimmed.index(b"\x1b[2m"), dimmed.index(b"\x1b[0m"))
        self.assertNotIn(b"\x1b[2m", answer("{{ bos_token }}{{ messages[-1].content }}"))

    def test_a_chat_template_and_its_variables(self):
        file = self.folder / "chat.jinja"
        file.write_text("{{ messages[0].content }}{{ x | default('') }}")
        args = [*PLACE, "-p", "The history", "--chat", "-n", "1", "--json", "--chat-template", file]
        plain = json.loads(self.good("ktx-run", *args))["prompt_ids"]
        more = json.loads(self.good("ktx-run", *args, "--set", 'x=" of"'))["prompt_ids"]
        self.assertEqual(more, [0, 417, 3072, 290])  # one BOS, which the template leaves to the tokenizer
        self.assertEqual(plain, more[:3])
        self.fails("ktx-run", *args, "--set", "x", code=2,
                   message="--set: expected NAME=JSON, found 'x'\n"
                           "Run with --help for more information.\n")

    def test_experts_change_between_the_answers_of_a_chat(self):
        def chat(text, *args):
            terminal, theirs = pty.openpty()
            process = subprocess.Popen([str(BUILD / "tools/ktx-run"), *map(str, PLACE), "-n", "8", *args],
                                       stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            os.close(theirs)
            os.write(terminal, text)
            out, err = process.communicate(timeout=60)
            os.close(terminal)
            self.assertEqual(process.returncode, 0, err)
            return out.decode(), err.decode()

        # Each answer is that of a run with this number from the start.
        out, err = chat(b"Hello\n/reset\n/experts 6\nHello\n/reset\n/experts 8\nHello\n"
                        b"/experts 9\n/experts x\n/exit\n")
        eight, _ = chat(b"Hello\n/exit\n")
        six, _ = chat(b"Hello\n/exit\n", "--experts-per-token", "6", "--max-experts", "8")
        self.assertEqual(out, eight + six + eight)
        self.assertIn("6 experts per token\n", err)
        self.assertIn("/experts: expected 1 to 8, found '9'\n", err)
        self.assertIn("/experts: expected 1 to 8, found 'x'\n", err)
        self.assertEqual(err.count("loaded in"), 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
