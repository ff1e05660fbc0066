"""Children start together, are watched, stop in order, and never outlive their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncline.cli import supervise
from syncline.cli.supervise import ChildFailed, Program, Stage, Stopped, Supervisor
from tests.servers import wait_for

STEADY = """
import signal, sys, time
def end(*_):
    open({diary!r}, "a").write({name!r} + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print({name!r}, "http://127.0.0.1:1", flush=True)
while True: time.sleep(0.05)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(0.05)
"""
TALKER = """
import os, sys, time
print("ready", flush=True)
for number in range(2000):
    print("line", number, "x" * 80, file=sys.stderr, flush=True)
while os.fstat(2).st_size > 100_000: time.sleep(0.01)
print("that is all", file=sys.stderr)
sys.exit(3)
"""
FAILING = """
import sys
print("a line about something else", file=sys.stderr)
sys.exit("syncline: port 1 on 127.0.0.1 is taken by another program")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Program]:
    """Makes programs out of source text."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, source: str, stage: Stage = Stage.SERVICE) -> Program:
        module = f"{name.replace(' ', '_')}_program"
        (tmp_path / f"{module}.py").write_text(source.format(name=name, diary=str(tmp_path / "diary")))
        return Program(name=name, stage=stage, module=module, ready=lambda child: child.address is not None)

    return make


def runs(pid: int) -> bool:
    """Whether the process is alive, and no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_children_that_need_others_stop_first(program: Callable[..., Program], tmp_path: Path) -> None:
    stages = {"broker": Stage.BROKER, "gateway": Stage.SERVICE, "worker": Stage.WORKER}
    seen: list[str] = []
    with Supervisor(tmp_path / "logs", lambda child: seen.append(child.name)) as supervisor:
        children = supervisor.start(*(program(name, STEADY, stage) for name, stage in stages.items()))
        supervisor.ready(*children)
        assert sorted(seen) == sorted(stages)
        assert children[0].address == "http://127.0.0.1:1"
    assert (tmp_path / "diary").read_text().split() == ["gateway", "worker", "broker"]


def test_a_child_that_does_not_want_to_end_is_killed(program: Callable[..., Program], tmp_path: Path) -> None:
    with Supervisor(tmp_path / "logs") as supervisor:
        children = supervisor.start(program("stubborn", STUBBORN))
        supervisor.ready(*children)
    assert children[0].process.returncode == -signal.SIGKILL


def test_some_children_can_be_stopped_before_the_others(program: Callable[..., Program], tmp_path: Path) -> None:
    with Supervisor(tmp_path / "logs") as supervisor:
        one, two = supervisor.start(program("one", STEADY), program("two", STEADY))
        supervisor.ready(one, two)
        supervisor.stop(one)
        assert not runs(one.process.pid)
        supervisor.wait(lambda: runs(two.process.pid), lambda: "")


def test_a_child_that_fails_is_named_with_its_last_words_and_the_others_are_stopped(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    said = "order 1 ended with status 1: port 1 on 127.0.0.1 is taken by another program"
    with Supervisor(tmp_path / "logs") as supervisor:
        started = supervisor.start(program("steady", STEADY), program("order 1", FAILING))
        with pytest.raises(ChildFailed, match=said):
            supervisor.ready(*started)
    assert not runs(started[0].process.pid)


def test_a_child_that_is_killed_later_is_noticed(program: Callable[..., Program], tmp_path: Path) -> None:
    with Supervisor(tmp_path / "logs") as supervisor:
        child = supervisor.start(program("steady", STEADY))[0]
        supervisor.ready(child)
        child.process.kill()
        with pytest.raises(ChildFailed, match=f"steady was killed by signal 9; its log is {tmp_path}/logs/steady.log"):
            supervisor.watch()


def test_a_large_log_begins_anew_and_keeps_the_one_before(
    program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "LOG_BYTES", 100_000)
    with Supervisor(tmp_path / "logs") as supervisor:
        child = supervisor.start(program("talker", TALKER))[0]
        supervisor.ready(child)
        before = child.log.with_suffix(".log.1")
        with pytest.raises(ChildFailed, match=r"talker ended with status 3: that is all"):
            supervisor.watch()
        assert before.read_text().startswith("line 0 ")
        assert child.log.stat().st_size < 100_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_watch(program: Callable[..., Program], tmp_path: Path, number: signal.Signals) -> None:
    with Supervisor(tmp_path / "logs") as supervisor:
        child = supervisor.start(program("steady", STEADY))[0]
        supervisor.ready(child)
        os.kill(os.getpid(), number)
        supervisor.watch()
    assert not runs(child.process.pid)


def test_a_signal_before_everything_is_ready_interrupts_the_waiting(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    with Supervisor(tmp_path / "logs") as supervisor:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            supervisor.wait(lambda: False, lambda: "")


def test_output_of_an_earlier_run_is_not_taken_for_this_ones(program: Callable[..., Program], tmp_path: Path) -> None:
    for _ in range(2):
        with Supervisor(tmp_path / "logs") as supervisor:
            child = supervisor.start(program("steady", STEADY.replace("http", "x" * 3)))[0]
            supervisor.ready(child)
    silent = program("steady", "import sys; sys.exit(3)")
    with pytest.raises(ChildFailed, match="steady ended with status 3: it said nothing"):
        _run(silent, tmp_path)


def _run(wanted: Program, folder: Path) -> None:
    with Supervisor(folder / "logs") as supervisor:
        supervisor.ready(*supervisor.start(wanted))


PARENT = """
import sys
from pathlib import Path
from syncline.cli.supervise import Program, Stage, Supervisor
with Supervisor(Path(sys.argv[1])) as supervisor:
    names = ["one", "stubborn"]
    children = supervisor.start(*(
        Program(name=n, stage=Stage.SERVICE, module=n + "_program", ready=lambda c: c.address is not None)
        for n in names
    ))
    supervisor.ready(*children)
    print(*(child.process.pid for child in children), flush=True)
    supervisor.watch()
"""


@pytest.fixture
def parent(program: Callable[..., Program], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that supervises a child that obeys and one that does not."""
    program("one", STEADY)
    program("stubborn", STUBBORN)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "logs")], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_children_end_when_their_parent_is_killed(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert all(map(runs, pids))
    parent.kill()
    wait_for(lambda: not any(map(runs, pids)), "no child is left", 15)
    assert (tmp_path / "diary").read_text().split() == ["one"]


def test_an_interrupt_from_the_keyboard_reaches_the_parent_alone(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert {os.getpgid(pid) for pid in pids}.isdisjoint({os.getpgid(parent.pid)})
    parent.send_signal(signal.SIGINT)
    assert parent.wait(15) == 0
    assert not any(map(runs, pids))


def test_a_child_that_never_gets_ready_is_given_up_with_what_it_said_last(
    program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.cli.supervise.READY_SECONDS", 0.5)
    hesitant = program("hesitant", "import sys, time; print('thinking', file=sys.stderr); time.sleep(60)")
    with pytest.raises(ChildFailed, match=r"not ready within 0\.5 s: hesitant said last"):
        _run(hesitant, tmp_path)
