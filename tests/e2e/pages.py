"""The tutorial's pages as a reader goes through them: save the files, type the commands, compare the answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.servers import free_port

SETTLE_SECONDS: Final = 20
READY_SECONDS: Final = 90
_FENCE: Final = re.compile(r"```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT_OPTIONS: Final = {"broker": 9092, "connect": 8083, "console": 8080, "discovery": 8761, "gateway": 8000}
_IS_SHOP: Final = re.compile(r"syncline (up|demo)\b")
_CHANGES: Final = re.compile(r" -X | -d |--create |insert into|create table")


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A block such as ```` ```json sink.json ````: the reader saves it under that name."""

    line: int
    name: str
    text: str


@dataclass(slots=True)
class Step:
    """A command and what it prints."""

    line: int
    command: str
    typed: list[str] = field(default_factory=list)
    """Lines that begin with `>`: typed into the running command, then Ctrl-D."""
    expected: list[str] = field(default_factory=list)
    interrupted: bool = False
    """Whether the reader presses Ctrl-C once the output is there, which is shown as `^C`."""

    @property
    def looks(self) -> bool:
        """Whether a reader who does not see the answer yet looks again; what changes something is typed once."""
        return not self.typed and _CHANGES.search(self.command) is None

    @property
    def stays(self) -> bool:
        """Whether it goes on in a terminal of its own."""
        return self.command.startswith("syncline up")


def read_page(text: str) -> list[SavedFile | Step]:
    """What a page tells its reader to do, in order: files to save, and commands in blocks called `console`."""
    found: list[SavedFile | Step] = []
    for match in _FENCE.finditer(text):
        language, name, body = match.groups()
        line = text.count("\n", 0, match.start()) + 2
        if name:
            found.append(SavedFile(line, name, body))
        elif language == "console":
            found += _steps(line, body.splitlines())
    return found


def _steps(first: int, lines: Sequence[str]) -> list[Step]:
    steps: list[Step] = []
    for line, text in enumerate(lines, first):
        if text.startswith("$ "):
            steps.append(Step(line, text[2:]))
            continue
        if not steps:
            raise ValueError(f"line {line}: output without a command")
        step = steps[-1]
        if step.command.endswith("\\"):
            step.command = f"{step.command[:-1].rstrip()} {text.strip()}"
        elif text.startswith(">"):
            step.typed.append(text[1:])
        elif text == "^C":
            step.interrupted = True
        else:
            step.expected.append(text)
    return steps


def matches(expected: Sequence[str], output: str) -> bool:
    """Whether the output is as shown; `...` stands for anything within a line, and alone on a line for any lines."""
    lines = "\n".join(expected).strip("\n").split("\n")
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else ".*".join(map(re.escape, line.rstrip().split("..."))) + r"\n"
        for line in lines
    )
    shown = "\n".join(line.rstrip() for line in output.strip("\n").split("\n"))
    return re.fullmatch(pattern, f"{shown}\n") is not None if expected else not shown.strip()


class Reader:
    """Somebody at a terminal, in an empty folder; the ports of the pages stand for free ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {shown: free_port() for shown in _PORT_OPTIONS.values()}
        self._staying: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "100",
            "LC_ALL": "C.UTF-8",
        }

    def follow(self, page: Path) -> None:
        """Do what the page says; AssertionError names the page and the line of what came out otherwise."""
        for item in read_page(page.read_text(encoding="utf-8")):
            if isinstance(item, SavedFile):
                (self._folder / item.name).write_text(self._private(item.text), encoding="utf-8")
            else:
                self._follow(item, f"{page.name}, line {item.line}: {item.command}")

    def leave(self) -> str:
        """Ctrl-C in the terminals that are still busy; what they printed altogether."""
        for process in self._staying:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        return self._output("staying") if self._staying else ""

    def _follow(self, step: Step, where: str) -> None:
        if step.stays or step.interrupted:
            self._watch(step, where)
            return
        typed = "".join(f"{line}\n" for line in step.typed)
        deadline = time.monotonic() + SETTLE_SECONDS
        outputs: list[str] = []
        while not outputs or (step.looks and time.monotonic() < deadline):
            done = subprocess.run(
                ["bash", "-c", self._command(step)],
                cwd=self._folder,
                env=self._environment,
                input=typed.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=READY_SECONDS,
            )
            outputs.append(self._shown(done.stdout))
            if matches(step.expected, outputs[-1]):
                return
            time.sleep(0.2)
        first = f"\nat first:\n{outputs[0]}" if outputs[0] != outputs[-1] else ""
        raise AssertionError(f"{where}\nis to print:\n{_text(step)}\nprinted:\n{outputs[-1]}{first}")

    def _watch(self, step: Step, where: str) -> None:
        """A command that goes on by itself: wait for its text, then press Ctrl-C or leave it running."""
        name = "staying" if step.stays else "watched"
        with (self._folder / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self._command(step)}"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        if step.stays:
            self._staying.append(process)
        deadline = time.monotonic() + READY_SECONDS
        said_at_the_end = 1 if step.interrupted else 0
        while not matches(step.expected[: len(step.expected) - said_at_the_end], self._output(name)):
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"{where}\nis to print:\n{_text(step)}\nprinted:\n{self._output(name)}")
            time.sleep(0.1)
        if step.interrupted:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            assert matches(step.expected, self._output(name)), f"{where}\nprinted:\n{self._output(name)}"

    def _output(self, name: str) -> str:
        return self._shown((self._folder / f"{name}.out").read_bytes())

    def _command(self, step: Step) -> str:
        """With the private ports, which the shop is told by its options."""
        shop = _IS_SHOP.match(step.command)
        if shop is None:
            return self._private(step.command)
        options = [name for name in _PORT_OPTIONS if name != "console" or shop[1] == "up"]
        return " ".join([step.command, *(f"--{name}-port {self._ports[_PORT_OPTIONS[name]]}" for name in options)])

    def _private(self, text: str) -> str:
        return _replaced(text, self._ports)

    def _shown(self, output: bytes) -> str:
        return _replaced(output.decode(errors="replace"), {private: shown for shown, private in self._ports.items()})


def _replaced(text: str, ports: Mapping[int, int]) -> str:
    return re.sub(r"(?<=:)(\d+)\b", lambda match: str(ports.get(int(match[1]), match[1])), text)


def _text(step: Step) -> str:
    return "\n".join(step.expected)
