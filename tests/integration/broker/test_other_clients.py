"""Clients of other languages: kafkajs and franz-go produce, also in transactions, and read in a group.

Both are fetched once, by npm and Go, into the cache folder of whoever runs the tests. Where these are missing or
too old the tests are skipped, also in CI: Debian's npm brings hundreds of packages, and its Go is too old.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from syncline.broker import BrokerThread
from tests.apache_kafka import CACHE

HERE: Final = Path(__file__).parent / "other_clients"
KAFKAJS: Final = "kafkajs@2.2.4"
COUNT: Final = 50
SECONDS: Final = 240


def found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program}")
    return path


def run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def fetched(name: str, make: list[str], product: str, sources: Path | None = None) -> Path:
    """The folder where `make` has left `product`; a machine that cannot fetch skips with the reason."""
    folder = CACHE / name
    if (folder / product).exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        work = Path(place, "work")
        if sources is None:
            work.mkdir()
        else:
            shutil.copytree(sources, work)
        done = subprocess.run(make, cwd=work, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            pytest.skip(f"{name} cannot be fetched: {done.stderr[-500:]}")
        if not folder.exists():
            work.rename(folder)
    return folder


def kafkajs(bootstrap: str, topic: str) -> str:
    node = found("node")
    install = [found("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", KAFKAJS]
    modules = fetched(KAFKAJS, install, "node_modules") / "node_modules"
    return run([node, str(HERE / "kafkajs.js"), bootstrap, topic, str(COUNT)], HERE, {"NODE_PATH": str(modules)})


def franz_go(bootstrap: str, topic: str) -> str:
    sources = HERE / "franz_go"
    content = b"".join(path.read_bytes() for path in sorted(sources.iterdir()))
    name = f"franz-go-{hashlib.sha256(content).hexdigest()[:12]}"
    folder = fetched(name, [found("go"), "build", "-o", "franz-go", "."], "franz-go", sources)
    return run([str(folder / "franz-go"), bootstrap, topic, str(COUNT)], folder)


@pytest.mark.slow
@pytest.mark.parametrize("client", [kafkajs, franz_go], ids=["kafkajs", "franz-go"])
def test_a_group_reads_what_was_committed_and_no_more(tmp_path: Path, client: Callable[[str, str], str]) -> None:
    with BrokerThread(tmp_path) as broker:
        answer = json.loads(client(broker.bootstrap_servers, "orders").splitlines()[-1])
    wanted = [f"{prefix}-{number}" for prefix in ("plain", "committed") for number in range(COUNT)]
    assert sorted(answer["got"]) == sorted(wanted)
    # What is between the last record and the end of a partition is the mark that ends the transaction.
    assert all(end - offset in (0, 1) for offset, end in zip(answer["offsets"], answer["ends"], strict=True))
