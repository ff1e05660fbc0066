"""The processes a benchmark measures, and what the kernel says of their memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.processes import WorkerProgram
from tests.servers import free_port, wait_for

ROOT = Path(__file__).resolve().parents[1]
REAL_KAFKA = ROOT.parent / "shared" / "tools" / "real-kafka"


def rss_mib(*pids: int) -> float:
    """Resident memory of these processes together."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def jvm_reason() -> str | None:
    """Why the JVM worker cannot be measured here, or None."""
    if not REAL_KAFKA.exists():
        return "the script that starts Apache Kafka's programs is not beside this checkout"
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


class JvmWorker(WorkerProgram):
    """Apache Kafka Connect 4.1 with Debezium's JDBC sink, started by the script beside this checkout."""

    jvm_pid = 0

    @property
    def pid(self) -> int:
        return self.jvm_pid


@contextlib.contextmanager
def jvm_worker(folder: Path, bootstrap: str) -> Iterator[JvmWorker]:
    """A JVM worker on the given broker; its jars are fetched before the clock starts."""
    port = free_port()
    home = os.environ.get("REAL_KAFKA_HOME", str(Path.home() / ".cache" / "real-kafka"))
    env = {**os.environ, "REAL_KAFKA_HOME": home}
    subprocess.run(
        [REAL_KAFKA, "tool", "org.apache.kafka.tools.TopicCommand", "--version"], env=env, capture_output=True
    )
    began = time.monotonic()
    subprocess.run(
        [REAL_KAFKA, "connect", str(port), bootstrap.rpartition(":")[2]],
        env=env,
        check=True,
        capture_output=True,
    )
    worker = JvmWorker([], folder / "jvm.log", url=f"http://127.0.0.1:{port}")
    worker.ready_seconds = time.monotonic() - began
    pid_file = Path(home) / f"connect-{port}.pid"
    worker.jvm_pid = int(pid_file.read_text())
    try:
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.jvm_pid, signal.SIGTERM)
        wait_for(lambda: _ended(worker.jvm_pid), "the JVM worker ends")
        pid_file.unlink(missing_ok=True)


def _ended(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
