"""The processes a benchmark starts, and what the kernel says of their memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from tests.servers import free_port, wait_for

ROOT = Path(__file__).resolve().parents[1]
REAL_KAFKA = ROOT.parent / "shared" / "tools" / "real-kafka"


@contextlib.contextmanager
def process(
    *command: str | Path, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is stopped on the way out, with -9 if it does not obey."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=out, env={**os.environ, **(env or {})}
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


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


@contextlib.contextmanager
def embedded_broker(folder: Path) -> Iterator[tuple[str, int]]:
    """Bootstrap address and process id of a broker of our own."""
    port = free_port()
    with process(
        *(sys.executable, "-m", "syncline", "broker", "--data", folder / "broker", "--port", str(port)),
        log=folder / "broker.log",
    ) as child:
        wait_for(lambda: _listens(port), f"the broker listens, see {folder / 'broker.log'}")
        yield f"127.0.0.1:{port}", child.pid


@contextlib.contextmanager
def syncline_worker(folder: Path, bootstrap: str) -> Iterator[Worker]:
    """A standalone worker of our own, with its time to the first answer."""
    port = free_port()
    properties = folder / "worker.properties"
    properties.write_text(
        f"bootstrap.servers={bootstrap}\n"
        "key.converter=org.apache.kafka.connect.json.JsonConverter\n"
        "value.converter=org.apache.kafka.connect.json.JsonConverter\n"
        f"offset.storage.file.filename={folder / 'connect.offsets'}\n"
        f"listeners=http://127.0.0.1:{port}\n"
        "offset.flush.interval.ms=10000\n"
    )
    began = time.monotonic()
    with process(
        sys.executable, "-m", "syncline", "connect-standalone", properties, log=folder / "worker.log"
    ) as child:
        worker = Worker(f"http://127.0.0.1:{port}", child.pid, 0.0)
        wait_for(worker.answers, f"the worker answers, see {folder / 'worker.log'}")
        worker.ready_seconds = time.monotonic() - began
        yield worker


def jvm_reason() -> str | None:
    """Why the JVM worker cannot be measured here, or None."""
    if not REAL_KAFKA.exists():
        return "the script that starts Apache Kafka's programs is not beside this checkout"
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


@contextlib.contextmanager
def jvm_worker(folder: Path, bootstrap: str) -> Iterator[Worker]:
    """Apache Kafka Connect 4.1 with Debezium's JDBC sink, on the given broker."""
    port = free_port()
    home = os.environ.get("REAL_KAFKA_HOME", str(Path.home() / ".cache" / "real-kafka"))
    env = {**os.environ, "REAL_KAFKA_HOME": home}
    # Fetching the jars is not part of starting.
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
    ready = time.monotonic() - began
    pid_file = Path(home) / f"connect-{port}.pid"
    pid = int(pid_file.read_text())
    try:
        yield Worker(f"http://127.0.0.1:{port}", pid, ready)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or _ended(pid), "the JVM worker ends")
        pid_file.unlink(missing_ok=True)


def _ended(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


class Worker:
    """A Connect worker as its REST clients see it."""

    def __init__(self, url: str, pid: int, ready_seconds: float) -> None:
        self.url = url
        self.pid = pid
        self.ready_seconds = ready_seconds
        """From the start of the process to the first answer of the REST interface."""

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/connectors", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def create(self, name: str, config: Mapping[str, str]) -> None:
        """Create a connector and wait until its task runs."""
        answer = httpx.post(f"{self.url}/connectors", json={"name": name, "config": dict(config)}, timeout=90)
        if answer.status_code != 201:
            raise RuntimeError(f"creating {name}: {answer.status_code} {answer.text}")

    def check(self, name: str) -> None:
        """Fail with the trace if a task of the connector has failed."""
        answer = httpx.get(f"{self.url}/connectors/{name}/status", timeout=30)
        for task in answer.json().get("tasks", []):
            if task["state"] == "FAILED":
                raise RuntimeError(f"{name}: {task.get('trace')}")

    def delete(self, name: str) -> None:
        httpx.delete(f"{self.url}/connectors/{name}", timeout=90).raise_for_status()


def _listens(port: int) -> bool:
    import socket

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
