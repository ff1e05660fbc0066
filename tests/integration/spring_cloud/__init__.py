"""Spring Cloud's Eureka client and server, unchanged, in the versions that `client.xml` and `registry.xml` name."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.apache_kafka import QUICK, fetched
from tests.servers import missing

HERE = Path(__file__).parent
COMMON = {
    "spring.main.banner-mode": "off",
    "spring.main.lazy-initialization": "true",
    "logging.level.root": "warn",
}


def application(folder: Path, registry_url: str, name: str) -> subprocess.Popen[str]:
    """An application with a discovery client that renews and fetches every second; it takes a free port."""
    settings = {
        "spring.application.name": name,
        "server.port": "0",
        "eureka.client.service-url.defaultZone": f"{registry_url}/eureka/",
        "eureka.client.registry-fetch-interval-seconds": "1",
        "eureka.client.initial-instance-info-replication-interval-seconds": "1",
        "eureka.instance.lease-renewal-interval-in-seconds": "1",
        "eureka.instance.lease-expiration-duration-in-seconds": "5",
        "eureka.instance.prefer-ip-address": "true",
        "eureka.instance.ip-address": "127.0.0.1",
    }
    return _started(folder, "client", "Application", settings)


def eureka_server(folder: Path, port: int) -> subprocess.Popen[str]:
    """A Eureka server that shows changes at once; from the shop's point of view a registry like ours."""
    settings = {
        "server.port": str(port),
        "eureka.client.service-url.defaultZone": f"http://127.0.0.1:{port}/eureka/",
        "eureka.client.register-with-eureka": "false",
        "eureka.client.fetch-registry": "false",
        "eureka.server.use-read-only-response-cache": "false",
    }
    with (folder / "registry.log").open("w") as log:
        return _started(folder, "registry", "Registry", settings, log)


def _started(
    folder: Path, kind: str, main: str, settings: Mapping[str, str], output: int | IO[str] = subprocess.PIPE
) -> subprocess.Popen[str]:
    """The class `main`, compiled into `folder`."""
    jars = fetched(HERE / f"{kind}.xml", f"spring-cloud-{kind}")
    for program in ("java", "javac"):
        if shutil.which(program) is None:
            missing(f"no {program}: Spring Cloud needs a JDK, 17 or later")
    subprocess.run(
        ["javac", "-cp", f"{jars}/*", "-d", str(folder), str(HERE / f"{main}.java")], check=True, timeout=120
    )
    options = [f"--{name}={value}" for name, value in {**COMMON, **settings}.items()]
    return subprocess.Popen(
        ["java", *QUICK, "-cp", f"{folder}:{jars}/*", f"shop.{main}", *options],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )
