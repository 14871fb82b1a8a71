#!/usr/bin/env python3
"""`tern run` as a conversation, at a terminal and in a pipe. chat_command_test.py TERN MODELS

The terminal is a pty; what the program draws is read as bytes and, where rows matter, played on a
small screen. The model is random and tiny, so what it says is only compared with itself; `en` of
MODELS stands for models without a chat template. Needs only Python itself.
"""

import fcntl
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from pathlib import Path

MODELS = Path(sys.argv.pop(2)).resolve()
TERN = str(Path(sys.argv.pop(1)).resolve())
HERE = Path(__file__).resolve().parent

TEMPLATE = ("{% for m in messages %}<|begin_of_text|>{{ m.role }}: {{ m.content }}<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}<|begin_of_text|>assistant: {% endif %}")
LEFT, UP, DOWN, CTRL_C, CTRL_D = "\033[D", "\033[A", "\033[B", "\003", "\004"


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, *args, env, size=(24, 80), program=TERN):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.slave = slave  # Stays open: the settings can be read when the program has ended.
        self.before = termios.tcgetattr(slave)

        def own_terminal():
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([program, *map(str, args)], stdin=slave, stdout=slave,
                                        stderr=slave, env=env, preexec_fn=own_terminal)
        self.seen = ""   # Everything.
        self.at = 0      # What expect() has passed.
        self.pending = b""

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            self.pending += os.read(self.master, 65536)
        except OSError:
            return False
        # Never half a character.
        for cut in range(4):
            try:
                text = self.pending[:len(self.pending) - cut].decode()
            except UnicodeDecodeError:
                continue
            self.pending = self.pending[len(self.pending) - cut:]
            self.seen += text
            break
        return True

    def expect(self, text, seconds=60):
        """Waits until `text` has come after what was expected before; returns what lay between."""
        end = time.monotonic() + seconds
        while text not in self.seen[self.at:]:
            if time.monotonic() > end or (not self.read(0.2) and self.process.poll() is not None
                                          and not self.read(0)):
                raise AssertionError(f"expected {text!r}, found {self.seen[self.at:]!r}")
        found = self.seen.index(text, self.at)
        between = self.seen[self.at:found]
        self.at = found + len(text)
        return between

    def prompt(self):
        """Waits for an empty prompt."""
        return self.expect("\033[?2004h\r\033[J> ")

    def type(self, text):
        os.write(self.master, text.encode())

    def ends(self, status=0):
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.1)
        while self.read(0):
            pass
        after = termios.tcgetattr(self.slave)
        if self.process.poll() != status:
            raise AssertionError(f"status {self.process.poll()}, expected {status}: {self.seen!r}")
        if after != self.before:
            raise AssertionError(f"settings of the terminal: {after}, expected {self.before}")
        if self.seen.count("\033[?2004h") > self.seen.count("\033[?2004l"):
            raise AssertionError("bracketed paste was left on")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Chat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.model = cls.folder / "model"
        subprocess.run([sys.executable, HERE / "make_tiny_model.py", cls.model], check=True)
        cls.plain = cls.folder / "plain"
        shutil.copytree(cls.model, cls.plain)
        (cls.model / "tokenizer_config.json").write_text(json.dumps(
            {"chat_template": TEMPLATE, "bos_token": "<|begin_of_text|>",
             "eos_token": "<|end_of_text|>"}))
        # One whose answers, that no end token ends, take long.
        cls.endless = cls.folder / "endless"
        shutil.copytree(cls.model, cls.endless)
        config = json.loads((cls.model / "config.json").read_text())
        (cls.endless / "config.json").write_text(
            json.dumps({**config, "max_position_embeddings": 100000}))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.state = Path(tempfile.mkdtemp(dir=self.folder))
        self.env = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(self.state)}

    def terminal(self, *args, size=(24, 80), model=None):
        terminal = Terminal("run", model or self.model, *args, env=self.env, size=size)
        self.addCleanup(terminal.close)
        return terminal

    def run_piped(self, text, *args, model=None, status=0):
        result = subprocess.run([TERN, "run", model or self.model, *map(str, args)],
                                input=text.encode(), capture_output=True, env=self.env, timeout=120)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stdout.decode(), result.stderr.decode()

    def saved(self, path):
        return [(m["role"], m["content"]) for m in json.loads(path.read_text())["messages"]]

    # In a pipe.

    def test_pipe_prints_only_answers(self):
        out, err = self.run_piped("hello\n\nmore\r\n", "-n", 8, "-s", 1)
        self.assertEqual(err, "")
        again, _ = self.run_piped("hello\nmore", "-n", 8, "-s", 1)
        self.assertEqual(out, again)
        first, _ = self.run_piped("hello\n", "-n", 8, "-s", 1)
        self.assertTrue(out.startswith(first) and len(out) > len(first))
        _, err = self.run_piped("hello\n", "-n", 8, "--verbose")
        self.assertIn("wrote 8 tokens at", err)
        self.assertEqual(self.run_piped(""), ("", ""))
        self.assertFalse(list(self.state.iterdir()))  # No history of a pipe.

    def test_pipe_answer_is_that_of_the_rendered_prompt(self):
        out, _ = self.run_piped("hello\n", "-n", 8, "-s", 1, "-sys", "be good")
        prompt = ("<|begin_of_text|>system: be good<|eot_id|><|begin_of_text|>user: hello<|eot_id|>"
                  "<|begin_of_text|>assistant: ")
        text, _ = self.run_piped("", "-n", 8, "-s", 1, "-p", prompt)
        self.assertEqual(out, text)

    def test_pipe_commands_and_mistakes(self):
        file = self.state / "a.json"
        _, err = self.run_piped(f"/system be good\nhi\n/undo\n//slash\n/save {file}\n", "-n", 4)
        roles = self.saved(file)
        self.assertEqual([r for r, _ in roles], ["system", "user", "assistant"])
        self.assertEqual(roles[1][1], "/slash")
        self.assertIn("saved 2 messages", err)
        self.assertNotIn("in place of", err)
        _, err = self.run_piped(f"/load {file}\n/reset\nnew\n/save {file}\n", "-n", 4)
        self.assertIn("in place of", err)
        self.assertEqual([c for r, c in self.saved(file) if r != "assistant"], ["be good", "new"])
        for line, status, words in (("/fly x", 2, "unknown command '/fly'"), ("/undo", 2, "taken back"),
                                    ("/reset now", 2, "'now'"), ("/save", 2, "name of a file"),
                                    ("/regen", 2, "no answer"), ("/load /nowhere/x", 1, "/nowhere/x"),
                                    ("/save /nowhere/x", 1, "/nowhere/x"),
                                    ("word " * 600, 1, "context of 512")):
            out, err = self.run_piped(line + "\nafter\n", "-n", 4, status=status)
            self.assertEqual(out, "")
            self.assertIn(words, err)
            self.assertEqual(len(err.splitlines()), 1, err)
        for args in (["--json"], ["--echo"]):
            _, err = self.run_piped("hi\n", *args, status=2)
            self.assertIn(args[0], err)
        _, err = self.run_piped("", "-p", "x", "-sys", "y", status=2)
        self.assertIn("--system-prompt", err)

    def test_pipe_full_context(self):
        lines = "".join(f"message number {i} of a long conversation\n" for i in range(24))
        file = self.state / "long.json"
        out, err = self.run_piped(lines + f"/save {file}\n", "-n", 12, "-c", 256, "-sys", "be good")
        self.assertIn("the context of 256 tokens is full: the model no longer sees the first", err)
        self.assertEqual(len(self.saved(file)), 49)
        out, err = self.run_piped("hi\nho\n", "-c", 64, "--ignore-eos")
        self.assertEqual(err.count("the answer ends here"), 2)

    def test_plain_model_goes_on(self):
        out, err = self.run_piped("Once upon a time\n\n", "-n", 12, "--temp", 0, model=MODELS / "en.gguf")
        self.assertEqual(err.count("\n"), 1)
        self.assertIn("no chat template", err)
        whole, _ = self.run_piped("", "-n", 24, "--temp", 0, "-p", "Once upon a time",
                                  model=MODELS / "en.gguf")
        first, second = self.run_piped("Once upon a time\n", "-n", 12, "--temp", 0,
                                       model=MODELS / "en.gguf")[0], whole
        self.assertTrue(second.startswith(first[:-1]))
        self.assertEqual(out, first + second[len(first) - 1:])
        _, err = self.run_piped("x\n", "-sys", "y", model=self.plain, status=1)
        self.assertIn("chat template", err)

    def test_pipe_interrupt(self):
        process = subprocess.Popen([TERN, "run", self.endless, "--ignore-eos", "-c", "0"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.env)
        process.stdin.write(b"hello\nmore\n")
        process.stdin.flush()
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"interrupted", err)

    # At a terminal.

    def test_talks(self):
        t = self.terminal("-n", 8)
        t.expect("/help lists what can be done, Ctrl-D leaves")
        t.prompt()
        t.type("hello\r")
        t.prompt()
        t.type("/help\r")
        t.expect("/regen")
        t.prompt()
        t.type("/nonsense\r")
        t.expect("unknown command '/nonsense'")
        t.prompt()
        t.type("/system be good\r")
        t.expect("the system prompt is: be good")
        t.prompt()
        file = self.state / "chat.json"
        t.type(f"/save {file}\r")
        t.expect("saved 2 messages")
        t.prompt()
        self.assertEqual([r for r, _ in self.saved(file)], ["system", "user", "assistant"])
        t.type("/load nothing.json\r")
        t.expect("nothing.json")
        t.prompt()
        t.type("   \r")  # Nothing to answer.
        t.prompt()
        t.type("/quit\r")
        t.ends()

    def test_edits_japanese_and_remembers(self):
        t = self.terminal("-n", 4)
        t.prompt()
        t.type("日本語x" + LEFT + LEFT + "の\033[3~" + "\005\177語!\r")  # 日本の + x removed + 語!
        t.prompt()
        t.type("second line\r")
        t.prompt()
        t.type(UP + UP + "?\r")
        t.prompt()
        t.type("draft" + UP + DOWN + " kept\r")
        t.prompt()
        file = self.state / "chat.json"
        t.type(f"/save {file}\r")
        t.prompt()
        t.type(CTRL_D)
        t.ends()
        users = [c for r, c in self.saved(file) if r == "user"]
        self.assertEqual(users, ["日本の語!", "second line", "日本の語!?", "draft kept"])
        history = self.state / "tern" / "history"
        self.assertEqual(history.stat().st_mode & 0o777, 0o600)
        self.assertEqual(history.read_text().splitlines()[:2], ["日本の語!", "second line"])
        again = self.terminal("-n", 4)
        again.prompt()
        again.type(UP + UP)
        again.expect("> draft kept")
        again.type(CTRL_C)
        again.prompt()
        again.type(CTRL_D)
        again.ends()
        history.unlink()
        without = self.terminal("-n", 4, "--no-history")
        without.prompt()
        without.type("hello\r")
        without.prompt()
        without.type(CTRL_D)
        without.ends()
        self.assertFalse(history.exists())

    def test_pastes_lines(self):
        t = self.terminal("-n", 4, size=(24, 20))
        t.prompt()
        t.type("\033[200~one\r\ntwo, which is longer than the terminal is wide\033[201~")
        t.expect("wide")
        t.type(" and\\\rthree\r")
        t.prompt()
        file = self.state / "chat.json"
        t.type(f"/save {file}\r")
        t.prompt()
        t.type(CTRL_D)
        t.ends()
        self.assertEqual(self.saved(file)[0][1],
                         "one\ntwo, which is longer than the terminal is wide and\nthree")

    def test_ctrl_c_ends_the_answer_and_not_the_chat(self):
        t = self.terminal("--ignore-eos", "-c", 0, model=self.endless)
        t.prompt()
        t.type("hello\r")
        t.expect("\033[?2004l")
        time.sleep(0.5)
        t.type(CTRL_C)
        t.prompt()
        t.type("typed" + CTRL_C)  # Drops the line.
        t.expect("^C")
        t.prompt()
        file = self.state / "chat.json"
        t.type(f"/save {file}\r")
        t.expect("saved 2 messages")
        t.prompt()
        self.assertGreater(len(self.saved(file)[1][1]), 10)
        t.type(CTRL_C)
        t.expect("Ctrl-D or /quit leaves")
        t.prompt()
        t.type(CTRL_C)
        t.ends(0)

    def test_what_is_typed_ahead_waits(self):
        t = self.terminal("--ignore-eos", "-c", 0, model=self.endless)
        t.prompt()
        t.type("hello\r")
        t.expect("\033[?2004l")
        time.sleep(0.3)
        os.kill(t.process.pid, signal.SIGINT)
        t.type("/quit\r")
        t.ends()

    def test_signals_give_the_terminal_back(self):
        for sign in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            for answering in (False, True):
                t = self.terminal("--ignore-eos", "-c", 0, model=self.endless)
                t.prompt()
                if answering:
                    t.type("hello\r")
                    t.expect("\033[?2004l")
                    time.sleep(0.2)
                os.kill(t.process.pid, sign)
                t.ends(-sign)

    def test_stopping_and_going_on(self):
        # Under a shell, as without one nobody could let it go on: Ctrl-Z, then fg.
        shell = """
import os, signal, subprocess, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
before = termios.tcgetattr(0)
child = subprocess.Popen(sys.argv[1:], preexec_fn=lambda: (os.setpgid(0, 0),
    os.tcsetpgrp(0, os.getpid()), signal.signal(signal.SIGTTOU, signal.SIG_DFL)))
_, status = os.waitpid(child.pid, os.WUNTRACED)
assert os.WIFSTOPPED(status), status
assert termios.tcgetattr(0) == before
print("stopped")
os.kill(child.pid, signal.SIGCONT)
sys.exit(child.wait())
"""
        t = Terminal("-c", shell, TERN, "run", self.model, "-n", 4, env=self.env,
                     program=sys.executable)
        self.addCleanup(t.close)
        t.prompt()
        t.type("half\032")
        t.expect("stopped")
        t.expect("> half")
        t.type(" and half\r")
        t.prompt()
        t.type(CTRL_D)
        t.ends()
        self.assertEqual((self.state / "tern" / "history").read_text(), "half and half\n")
        alone = self.terminal("-n", 4)
        alone.prompt()
        alone.type("half\032 and half\r")
        alone.prompt()
        alone.type(CTRL_D)
        alone.ends()

    def test_follows_the_size(self):
        t = self.terminal("-n", 4, size=(24, 40))
        t.prompt()
        t.type("a text of more than thirty characters")
        t.expect("characters")
        fcntl.ioctl(t.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
        t.expect("\r\033[1A\033[J> a text of more tha \rn thirty characters\r\033[19C")
        t.type("\r")
        t.prompt()
        t.type(CTRL_D)
        t.ends()

    def test_a_terminal_sees_no_control_characters(self):
        grammar = 'root ::= "\\x1b]0;title\\x07\\r" "\\n" "done"'
        t = self.terminal("--grammar", grammar)
        t.prompt()
        t.type("hello\r")
        t.expect("\033[?2004l")
        answer = t.expect("done")
        self.assertIn("\uFFFD]0;title\uFFFD\uFFFD", answer)
        self.assertNotIn("\033]0", answer)
        t.prompt()
        t.type(CTRL_D)
        t.ends()
        out, _ = self.run_piped("hello\n", "--grammar", grammar)
        self.assertEqual(out, "\033]0;title\007\r\ndone\n")

    def test_a_broken_template_takes_the_message_back(self):
        model = self.folder / "strict"
        shutil.copytree(self.model, model)
        (model / "tokenizer_config.json").write_text(json.dumps({"chat_template":
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
            + TEMPLATE}))
        t = self.terminal("-n", 4, "-sys", "be good", model=model)
        t.prompt()
        t.type("hello\r")
        t.expect("no system here")
        t.prompt()
        t.type("/system -\r")
        t.expect("there is no system prompt")
        t.prompt()
        t.type("hello\r")
        t.prompt()
        t.type("/undo\r")
        t.expect("taken back; 0 messages left")
        t.prompt()
        t.type(CTRL_D)
        t.ends()

    def test_a_closed_terminal_ends_it(self):
        t = self.terminal("-n", 4)
        t.prompt()
        pid = t.process.pid
        os.close(t.master)
        os.close(t.slave)
        t.process.wait(60)
        t.master, t.slave = os.pipe()
        self.assertIn(t.process.returncode, (0, 1, -signal.SIGHUP), pid)

    def test_dumb_terminals_get_plain_lines(self):
        self.env["TERM"] = "dumb"
        t = self.terminal("-n", 4)
        t.expect("Ctrl-D leaves")
        t.type("/fly\n")
        t.expect("unknown command")
        t.type("/quit\n")
        t.ends()
        self.assertNotIn("\033", re.sub("\r\033\\[K|\r[a-z ]+\\[[# ]+\\] *\\d+%", "", t.seen))


if __name__ == "__main__":
    unittest.main()
