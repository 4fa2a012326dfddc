"""What tests of the command lines share. Their first argument is the build folder."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
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
