"""Apache Kafka's own programs (Java) as child processes, in the versions that `pom.xml` names."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.processes import Program
from tests.servers import missing

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


def _qualified(name: str) -> str:
    return name if name.startswith(("org.", "kafka.")) else f"org.apache.kafka.tools.{name}"


@cache
def jars() -> Path:
    """The folder of the jars; Maven fetches them once, into the cache folder of whoever runs the tests."""
    pom = HERE / "pom.xml"
    folder = CACHE / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    maven = _program("mvn")
    CACHE.mkdir(parents=True, exist_ok=True)
    # Whoever comes second, of two that fetch at once, finds the folder of the first.
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        fetched = Path(place, "jars")
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={fetched}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_SECONDS,
        )
        if done.returncode:
            missing(f"Maven cannot fetch Apache Kafka's programs: {done.stdout[-500:]}")
        if not folder.exists():
            fetched.rename(folder)
    return folder


@cache
def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"no {name}: Apache Kafka's programs need Java 17 and Maven")
    return found
