"""Syncline's own programs as child processes, for tests and benchmarks that drive them from outside."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.servers import free_port, wait_for


@dataclass
class Program:
    """One child process that can be killed and started again with the same arguments and data."""

    arguments: Sequence[str | Path]
    """After `python -m syncline`."""
    log: Path
    process: subprocess.Popen[bytes] | None = None
    interpreter: str = sys.executable

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out)
        wait_for(self._answers_or_ended, f"{self.arguments[0]} answers; its log ends:\n{self.tail()}")

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    @property
    def command(self) -> list[str]:
        return [self.interpreter, "-m", "syncline", *map(str, self.arguments)]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def tail(self) -> str:
        """The last lines of the log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def answers(self) -> bool:
        raise NotImplementedError

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"ended with status {self.process.returncode}:\n{self.tail()}")
        return self.answers()

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGTERM)


@dataclass
class BrokerProgram(Program):
    """`syncline broker` on a port that stays the same over restarts."""

    port: int = field(default_factory=free_port)

    @classmethod
    def at(cls, folder: Path) -> BrokerProgram:
        port = free_port()
        return cls(["broker", "--data", folder / "broker", "--port", str(port)], folder / "broker.log", port=port)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@dataclass
class WorkerProgram(Program):
    """`syncline connect-standalone` with JsonConverter and short commit intervals."""

    url: str = ""
    ready_seconds: float = 0.0
    """From the start of the process to the first answer of the REST interface."""

    @classmethod
    def at(
        cls,
        folder: Path,
        bootstrap: str,
        connectors: Mapping[str, Mapping[str, str]] | None = None,
        **settings: str,
    ) -> WorkerProgram:
        """A worker in `folder` that starts with `connectors` (name to configuration)."""
        port = free_port()
        properties = folder / "worker.properties"
        lines = {
            "bootstrap.servers": bootstrap,
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.storage.file.filename": str(folder / "connect.offsets"),
            "listeners": f"http://127.0.0.1:{port}",
            "offset.flush.interval.ms": "1000",
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
        properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        files = []
        for name, config in (connectors or {}).items():
            path = folder / f"{name}.properties"
            path.write_text("".join(f"{k}={v}\n" for k, v in {"name": name, **config}.items()))
            files.append(path)
        return cls(["connect-standalone", properties, *files], folder / "worker.log", url=f"http://127.0.0.1:{port}")

    @classmethod
    def distributed(cls, folder: Path, bootstrap: str, name: str = "worker", **settings: str) -> WorkerProgram:
        """A member of the group `connect-cluster`, with short times."""
        port = free_port()
        properties = folder / f"{name}.properties"
        lines = {
            "bootstrap.servers": bootstrap,
            "group.id": "connect-cluster",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "config.storage.topic": "connect-configs",
            "offset.storage.topic": "connect-offsets",
            "status.storage.topic": "connect-status",
            "config.storage.replication.factor": "1",
            "offset.storage.replication.factor": "1",
            "status.storage.replication.factor": "1",
            "listeners": f"http://127.0.0.1:{port}",
            "offset.flush.interval.ms": "200",
            "session.timeout.ms": "6000",
            "heartbeat.interval.ms": "1000",
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
        properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        return cls(["connect-distributed", properties], folder / f"{name}.log", url=f"http://127.0.0.1:{port}")

    def start(self) -> None:
        began = time.monotonic()
        super().start()
        self.ready_seconds = time.monotonic() - began

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/connectors", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def create(self, name: str, config: Mapping[str, str]) -> None:
        """Create a connector over REST."""
        answer = httpx.post(f"{self.url}/connectors", json={"name": name, "config": dict(config)}, timeout=90)
        assert answer.status_code == 201, f"creating {name}: {answer.status_code} {answer.text}"

    def delete(self, name: str) -> None:
        httpx.delete(f"{self.url}/connectors/{name}", timeout=90).raise_for_status()

    def status(self, name: str) -> dict[str, Any]:
        """The body of the status call."""
        answer = httpx.get(f"{self.url}/connectors/{name}/status", timeout=30)
        body: dict[str, Any] = answer.json()
        return body

    def task_states(self, name: str) -> list[str]:
        """States of the tasks, in order."""
        return [task["state"] for task in self.status(name).get("tasks", [])]

    def check(self, name: str) -> None:
        """Fail with the trace if a task of the connector has failed."""
        for task in self.status(name).get("tasks", []):
            assert task["state"] != "FAILED", f"{name}: {task.get('trace')}"
