"""A service as a process: it says where it is, answers at once, and ends cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from syncline.errors import ConfigError
from syncline.kit.http.listener import bind
from tests.servers import wait_for

PROGRAM = """
import asyncio, sys
from syncline.kit.errors import DatabaseUnavailable
from syncline.kit.service import Service, run
from syncline.kit.settings import ServiceSettings

class ProbeSettings(ServiceSettings, env_prefix="PROBE_"):
    broken: bool = False

class Resource:
    def __init__(self, broken): self.broken = broken
    async def __aenter__(self):
        if self.broken: raise DatabaseUnavailable("cannot use the database sqlite:///x: disk full")
        return self
    async def __aexit__(self, *_): print("closed", flush=True)

def build(settings):
    svc = Service("probe", settings)
    svc.during(Resource(settings.broken))
    @svc.app.get("/slow")
    async def slow():
        await asyncio.sleep(0.5)
        return "done"
    return svc

sys.exit(run(ProbeSettings, build))
"""


@contextlib.contextmanager
def probe(folder: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {f"PROBE_{name.upper()}": value for name, value in settings.items()}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    """What the service prints when it serves: its name and address."""
    assert process.stdout is not None
    name, url = process.stdout.readline().split()
    assert name == "probe"
    return url


def test_it_takes_a_free_port_and_says_which(tmp_path: Path) -> None:
    with probe(tmp_path, port="0") as process:
        assert httpx.get(f"{address(process)}/health/ready").json()["status"] == "UP"


def test_a_request_under_way_is_finished_and_resources_are_closed_before_it_ends(tmp_path: Path) -> None:
    with probe(tmp_path) as process:
        url = httpx.URL(address(process))
        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: probe\r\n\r\n")
            wait_for(lambda: httpx.get(url.join("/health/live")).is_success, "the request is under way")
            process.send_signal(signal.SIGTERM)
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
        assert b"200 OK" in answer
        assert b'"done"' in answer
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "closed\n"


def test_log_lines_are_json_with_the_trace_of_the_request(tmp_path: Path) -> None:
    with probe(tmp_path) as process:
        trace = httpx.get(f"{address(process)}/nothing").headers["trace-id"]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    request = next(line for line in lines if line["event"] == "request")
    assert (request["method"], request["path"], request["status"]) == ("GET", "/nothing", 404)
    assert request["trace_id"] == trace


@pytest.mark.parametrize("case", ["port", "setting", "resource"])
def test_what_the_operator_can_fix_is_one_sentence_and_status_1(tmp_path: Path, case: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings, said = {
            "port": ({"port": str(port)}, f"port {port} on 127.0.0.1 is taken by another program\n"),
            "setting": ({"log_level": "loud"}, "PROBE_LOG_LEVEL=loud: "),
            "resource": ({"broken": "1"}, "cannot use the database sqlite:///x: disk full\n"),
        }[case]
        with probe(tmp_path, **settings) as process:
            assert process.wait(20) == 1
            assert process.stdout is not None
            assert process.stdout.read() == ""
    log = (tmp_path / "log").read_text()
    assert log.startswith(said)
    assert len(log.splitlines()) == 1


async def test_answers_do_not_wait_for_acknowledgements() -> None:
    """With Nagle's algorithm on, every answer on a kept connection takes 40 ms longer."""
    listener = bind("127.0.0.1", 0)
    made: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set_result(transport)

    server = await asyncio.get_running_loop().create_server(Connection, sock=listener)
    with socket.create_connection(listener.getsockname()):
        transport = await made
        accepted = transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.close()
    server.close()
    await server.wait_closed()


def test_a_host_that_does_not_exist_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on no\.such\.host\.invalid:0"):
        bind("no.such.host.invalid", 0)
