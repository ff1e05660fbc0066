"""Files are open while they are used: many logs need few descriptors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from syncline.broker.files import OpenFiles
from syncline.broker.log import PartitionLog

CROWD = """
import asyncio, os, resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from syncline.broker.files import OpenFiles
from syncline.broker.flusher import Flusher
from syncline.broker.log import PartitionLog

folder = Path(sys.argv[1])
for opening in range(2):
    files = OpenFiles()
    flusher = Flusher("interval", files)
    logs = [PartitionLog(folder / f"t-{n}", segment_bytes=500, files=files, due=flusher.due) for n in range(500)]
    for value in range(3):
        for log in logs:
            log.append_records([(b"k", b"%d" % value * 100)], 1)
    assert len(flusher.due) == 500
    asyncio.run(flusher.flush())
    assert not flusher.due
    for log in logs:
        assert [r.value for r in log.records()] == [b"%d" % value * 100 for value in range(3)] * (opening + 1)
    assert len(os.listdir("/proc/self/fd")) < 40
    for log in logs:
        log.close()
    assert len(files) == 0
"""


def test_500_partitions_need_few_descriptors(memory: Path) -> None:
    script = memory / "crowd.py"
    script.write_text(CROWD)
    done = subprocess.run([sys.executable, script, memory / "data"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def logs(tmp_path: Path) -> list[PartitionLog]:
    files = OpenFiles(3)
    made = [PartitionLog(tmp_path / f"t-{number}", files=files) for number in range(5)]
    assert len(files) == 0
    for log in made:
        log.append_records([(b"k", b"v")], 1)
    return made


def test_of_many_files_those_used_last_are_open(logs: list[PartitionLog]) -> None:
    files = logs[0].files
    assert len(files) == 3
    for _ in range(2):
        for log in logs:
            assert log.read(0, 1000, 1)
            assert len(files) == 3
    for log in logs:
        log.close()


def test_idle_files_are_closed_and_opened_again_when_needed(logs: list[PartitionLog]) -> None:
    files = logs[0].files
    files.age()
    assert logs[4].read(0, 1000, 1)
    files.age()
    assert len(files) == 1
    files.age()
    assert len(files) == 0
    for log in logs:
        assert log.append_records([(b"k", b"w")], 1) == 1
        log.close()


def test_a_log_without_records_has_no_file(tmp_path: Path) -> None:
    log = PartitionLog(tmp_path / "t-0")
    assert log.read(0, 1000, 0) == b""
    log.close()
    assert list((tmp_path / "t-0").iterdir()) == []


def test_a_process_may_have_as_many_files_open_as_its_limit_can_be_raised_to() -> None:
    script = """
import resource
from syncline.broker.files import affordable, allow_most_files

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 800))
assert affordable() == 16
for _ in range(2):
    allow_most_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (800, 800)
assert affordable() == 200
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
