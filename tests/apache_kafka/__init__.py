"""Apache Kafka's own programs (Java) as child processes, in the versions that `pom.xml` names."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.processes import Program, WorkerProgram
from tests.servers import free_port, missing

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "syncline-tests"
FETCH_SECONDS = 900
TOOL_SECONDS = 60
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
"""For a JVM that lives for a second."""


def tool(name: str, *arguments: str | Path, text: str = "", status: int | None = 0) -> str:
    """What a command-line tool prints, errors included; `text` is its standard input.

    `name` is the class behind `kafka-topics.sh` and so on, below `org.apache.kafka.tools` unless it has a package.
    Fails when the exit status is not `status`; None takes any.
    """
    done = subprocess.run(
        [*java(*QUICK), _qualified(name), *map(str, arguments)],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TOOL_SECONDS,
    )
    assert status in (None, done.returncode), f"{name} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def java(*options: str) -> list[str]:
    """The start of a command line, up to the main class. Skips or fails the test where there is no Java or Maven."""
    return [
        _program("java"),
        *options,
        f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}",
        "-cp",
        f"{jars()}/*",
    ]


class JavaProgram(Program):
    """A child process whose `arguments` are a main class and what follows it."""

    options: Sequence[str] = QUICK

    @property
    def command(self) -> list[str]:
        name, *rest = self.arguments
        return [*java(*self.options), _qualified(str(name)), *map(str, rest)]

    def answers(self) -> bool:
        """Tools that run on are ready when their process is there."""
        return True


class KafkaProgram(Program):
    """A broker of Apache Kafka, alone, with the memory and the collector that its own start script gives it."""

    bootstrap = ""

    @classmethod
    def at(cls, folder: Path, **settings: str) -> KafkaProgram:
        """A broker with fresh data in `folder`; `settings` as in server.properties, with underscores for dots."""
        port, controller = free_port(), free_port()
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(folder / "kafka"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
        properties = folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        tool("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", properties)
        made = cls([properties], folder / "kafka.log")
        made.bootstrap = f"127.0.0.1:{port}"
        return made

    @property
    def command(self) -> list[str]:
        options = ("-server", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
        return [*java(*options, "-XX:InitiatingHeapOccupancyPercent=35"), "kafka.Kafka", *map(str, self.arguments)]

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(_address(self.bootstrap), 1):
            return True
        return False


def _address(bootstrap: str) -> tuple[str, int]:
    host, _, port = bootstrap.rpartition(":")
    return host, int(port)


class ConnectProgram(WorkerProgram):
    """A distributed worker of Kafka Connect, a group and three topics of its own."""

    @classmethod
    def at(
        cls,
        folder: Path,
        bootstrap: str,
        connectors: Mapping[str, Mapping[str, str]] | None = None,
        **settings: str,
    ) -> ConnectProgram:
        """A worker in `folder`; `settings` as in its properties, with underscores for dots."""
        assert not connectors, "a distributed worker is given its connectors over REST"
        port = free_port()
        lines = {
            "bootstrap.servers": bootstrap,
            "group.id": "jvm-connect",
            **{f"{kind}.storage.topic": f"jvm-connect-{kind}" for kind in ("config", "offset", "status")},
            **{f"{kind}.storage.replication.factor": "1" for kind in ("config", "offset", "status")},
            "offset.storage.partitions": "1",
            "status.storage.partitions": "1",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "listeners": f"http://127.0.0.1:{port}",
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
        properties = folder / "connect-distributed.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        return cls([properties], folder / "connect.log", url=f"http://127.0.0.1:{port}")

    @property
    def command(self) -> list[str]:
        options = ("-XX:+UseSerialGC", "-Xmx512m", "-Dlevel=INFO")
        return [*java(*options), "org.apache.kafka.connect.cli.ConnectDistributed", *map(str, self.arguments)]


def _qualified(name: str) -> str:
    return name if name.startswith(("org.", "kafka.")) else f"org.apache.kafka.tools.{name}"


def jars() -> Path:
    """The folder of Apache Kafka's jars."""
    return fetched(HERE / "pom.xml", "kafka")


@cache
def fetched(pom: Path, name: str) -> Path:
    """The folder of the jars that `pom` names; Maven fetches them once, into a cache folder of whoever runs the tests.

    Skips or fails the test where there is no Maven.
    """
    folder = CACHE / f"{name}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    maven = _program("mvn")
    CACHE.mkdir(parents=True, exist_ok=True)
    # Whoever comes second, of two that fetch at once, finds the folder of the first.
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        into = Path(place, "jars")
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={into}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_SECONDS,
        )
        if done.returncode:
            missing(f"Maven cannot fetch the jars of {name}: {done.stdout[-500:]}")
        if not folder.exists():
            into.rename(folder)
    return folder


@cache
def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"no {name}: Apache Kafka's programs need Java 17 and Maven")
    return found
