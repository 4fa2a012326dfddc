#!/usr/bin/env python3
"""A chat of ktx-run on a pseudo terminal: editing, pasting, history, Ctrl-C, commands.

Usage: chat_test.py BUILD_DIR [unittest arguments]     exit code 4: built without libedit, editing not tested
"""

import json
import os
import pty
import re
import select
import signal
import sys
import time
import unittest

from command_lines import BUILD, CPU, Case, MODEL, run

RUN = str(BUILD / "tools/ktx-run")
EDITOR = "chats: libedit" in run("ktx-run", "--version").stdout
PROMPT = b"> \\Z"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")
UP, LEFT, HOME = b"\x1b[A", b"\x1b[D", b"\x01"
CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    """A program on a terminal of its own; what it wrote is waited for, never a time."""

    deadline = 120

    def __init__(self, folder, *args, term="xterm"):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM=term, XDG_STATE_HOME=str(folder), LC_ALL="C")
            os.execv(RUN, [RUN, "--model", str(MODEL), "--rules", str(CPU), "--threads", "2", *args])
        self.seen = b""

    def read(self):
        """More of what the program writes; False at its end."""
        try:
            got = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.seen += got
        return bool(got)

    def text(self):
        return ESCAPES.sub("", self.seen.decode(errors="replace"))

    def wait(self, pattern, raw=False):
        """Reads until the pattern is there; what was read since the last wait, without escapes."""
        end = time.monotonic() + self.deadline
        while not re.search(pattern, self.seen if raw else self.text().encode()):
            ready = select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0]
            if not ready or not self.read():
                raise AssertionError(f"{pattern!r} did not come: {self.seen[-2000:]!r}")
        text, self.raw, self.seen = self.text(), self.seen, b""
        return text

    def write(self, keys):
        while keys:
            ready = select.select([self.terminal], [self.terminal], [], self.deadline)
            if self.terminal in ready[0]:
                self.read()
            if self.terminal in ready[1]:
                keys = keys[os.write(self.terminal, keys[:256]):]

    def say(self, keys):
        """Types, and waits for the prompt after the answer."""
        self.write(keys)
        return self.wait(PROMPT)

    def end(self):
        while self.read():
            pass
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Chat(Case):
    def chat(self, *args, **options):
        terminal = Terminal(self.folder, *args, **options)

        def stop():
            try:
                os.kill(terminal.pid, signal.SIGKILL)
                os.waitpid(terminal.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass

        self.addCleanup(stop)
        terminal.wait(PROMPT)
        return terminal

    def saved(self, terminal):
        file = self.folder / "saved.json"
        terminal.write(b"/save %s\r" % os.fsencode(file))
        terminal.wait(rb"messages? written\n> \Z")
        return json.loads(file.read_text())

    def asked(self, terminal):
        return [m["content"] for m in self.saved(terminal) if m["role"] == "user"]

    def leave(self, terminal):
        terminal.write(CTRL_D)
        self.assertEqual(terminal.end(), 0)


@unittest.skipUnless(EDITOR, "ktx was built without libedit")
class Editing(Chat):
    def test_cursor_keys_and_characters_of_many_bytes(self):
        chat = self.chat("-n", "2")
        chat.say("wörd 😀".encode() + LEFT + LEFT + "ß".encode() + HOME + b"a \r")
        self.assertEqual(self.asked(chat), ["a wördß 😀"])
        self.leave(chat)

    def test_a_line_of_any_length(self):
        line = " ".join(f"w{i}" for i in range(1200))  # 6,089 bytes: a terminal gives 4,095
        chat = self.chat("-n", "2", "-c", "16000")
        chat.say(line.encode() + b"\r")
        self.assertEqual(self.asked(chat), [line])
        self.leave(chat)

    def test_a_pasted_block_is_one_message(self):
        chat = self.chat("-n", "2")
        chat.write(b"Look: \x1b[200~one\r/two\r\n  three\x03\tx\x1b[201~!")
        self.assertEqual(chat.say(b"\r").count("prefill"), 1)
        self.assertIn(b"\x1b[?2004l", chat.raw)  # pasting is marked while a line is edited, not later
        self.assertTrue(chat.raw.endswith(b"\x1b[?2004h> "), chat.raw)
        self.assertEqual(self.asked(chat), ["Look: one\n/two\n  three\x03\tx!"])
        chat.say(b"/reset\r")
        chat.say(b"one\x1b\rtwo\r")  # Alt-Enter
        self.assertEqual(self.asked(chat), ["one\ntwo"])
        self.leave(chat)

    def test_history_outlives_the_chat(self):
        chat = self.chat("-n", "2")
        chat.say(b"first\r")
        chat.say(b"\x1b[200~two\rlines\x1b[201~\r")
        chat.say(UP + UP + b"!\r")
        self.leave(chat)
        file = self.folder / "ktx/history"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        chat = self.chat("-n", "2")
        chat.say(UP + UP + b"?\r")
        self.assertEqual(self.asked(chat), ["two\nlines?"])
        self.leave(chat)

    def test_a_file_that_is_no_history_stays_as_it_is(self):
        file = self.folder / "ktx/history"
        file.parent.mkdir()
        file.write_text("mine\n")
        chat = Terminal(self.folder, "-n", "2")
        self.assertIn(f"warning: {file}: is no history that libedit can read", chat.wait(PROMPT))
        chat.say(b"Hello\r")
        self.leave(chat)
        self.assertEqual(file.read_text(), "mine\n")

    def test_ctrl_c_stops_the_answer_and_discards_a_line(self):
        chat = self.chat("-n", "-1", "-c", "100000")
        chat.write(b"Hello\r")
        chat.wait(rb"Hello\n[^>]{20}")
        chat.write(CTRL_C + CTRL_C)  # the second one is too much, and not the end
        self.assertRegex(chat.wait(PROMPT), r"prefill \d+ tokens, .*; decode \d+ tokens")
        partial = self.saved(chat)
        self.assertEqual([m["role"] for m in partial], ["user", "assistant"])
        self.assertTrue(partial[1]["content"])
        self.assertNotIn("Ctrl-D", chat.say(b"not this" + CTRL_C))
        self.assertIn("Ctrl-D or /exit ends the chat", chat.say(CTRL_C))
        self.assertEqual(self.asked(chat), ["Hello"])
        self.leave(chat)

    def test_ctrl_c_in_the_prompt_takes_the_question_back(self):
        chat = self.chat("-n", "1", "-c", "60000")
        chat.write(b"\x1b[200~" + b"the " * 30000 + b"\x1b[201~\r")
        chat.wait(rb"\x1b\[\?2004l", raw=True)  # the line is read
        while not re.search(PROMPT, chat.text().encode()):  # nothing tells when the model has begun
            chat.write(CTRL_C)
            time.sleep(0.05)
            while select.select([chat.terminal], [], [], 0)[0]:
                self.assertTrue(chat.read())
        self.assertEqual(self.saved(chat), [])
        self.leave(chat)

    def test_commands(self):
        chat = self.chat("-n", "4")
        self.assertIn("no command '/exprts'\n  note: did you mean /experts?", chat.say(b"/exprts 6\r"))
        self.assertIn("/experts [N]", chat.say(b"/help\r"))
        first = chat.say(b"Hello\r")
        kept = self.saved(chat)
        chat.say(b"/reset\r")
        chat.say(b"/system The history of\r")
        self.assertIn("6 experts per token", chat.say(b"/experts 6\r"))
        chat.say(b"Hello\r")
        self.assertEqual([m["role"] for m in self.saved(chat)], ["system", "user", "assistant"])
        file = self.folder / "kept.json"
        file.write_text(json.dumps(kept))
        chat.say(b"/experts\r")
        self.assertIn("2 messages read", chat.say(b"/load %s\r" % os.fsencode(file)))
        self.assertEqual(self.saved(chat), kept)
        rendered = self.good("ktx-eval", "chat", "--model", MODEL, "--messages", file)
        self.assertIn("Hello", rendered)
        chat.say(b"/reset\r")
        again = chat.say(b"Hello\r")
        answer = re.compile(r"Hello\n(.*)\nprefill", re.S)
        self.assertEqual(answer.search(first)[1], answer.search(again)[1])
        chat.write(b"/exit\r")
        self.assertEqual(chat.end(), 0)


class Plain(Chat):
    def test_a_terminal_that_can_not_draw_gets_plain_lines(self):
        chat = self.chat("-n", "-1", "-c", "100000", term="dumb")
        chat.write(b"Hello\n")
        chat.wait(rb"Hello\n[^>]{20}")
        chat.write(CTRL_C)
        self.assertIn("prefill", chat.wait(PROMPT))
        self.assertIn("Ctrl-D or /exit ends the chat", chat.say(CTRL_C))
        self.assertIn("no command '/hepl'", chat.say(b"/hepl\n"))
        self.assertEqual(self.asked(chat), ["Hello"])
        self.assertNotIn(b"2004", chat.raw)
        self.leave(chat)


if __name__ == "__main__":
    done = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], exit=False).result
    sys.exit(1 if not done.wasSuccessful() else 0 if EDITOR else 4)
