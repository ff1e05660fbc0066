"""A Spring Boot application with Spring Cloud's Eureka client, unchanged, in the versions that `pom.xml` names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.apache_kafka import QUICK, fetched
from tests.servers import missing

HERE = Path(__file__).parent


def application(folder: Path, registry_url: str, name: str) -> subprocess.Popen[str]:
    """The application, compiled into `folder` and started; renews and fetches every second."""
    jars = fetched(HERE / "pom.xml", "eureka-client")
    for program in ("java", "javac"):
        if shutil.which(program) is None:
            missing(f"no {program}: Spring Cloud's client needs a JDK, 17 or later")
    subprocess.run(
        ["javac", "-cp", f"{jars}/*", "-d", str(folder), str(HERE / "Application.java")], check=True, timeout=120
    )
    settings = {
        "spring.application.name": name,
        "spring.main.banner-mode": "off",
        "spring.main.lazy-initialization": "true",
        "logging.level.root": "warn",
        "server.port": "0",
        "eureka.client.service-url.defaultZone": f"{registry_url}/eureka/",
        "eureka.client.registry-fetch-interval-seconds": "1",
        "eureka.client.initial-instance-info-replication-interval-seconds": "1",
        "eureka.instance.lease-renewal-interval-in-seconds": "1",
        "eureka.instance.lease-expiration-duration-in-seconds": "5",
        "eureka.instance.prefer-ip-address": "true",
        "eureka.instance.ip-address": "127.0.0.1",
    }
    return subprocess.Popen(
        ["java", *QUICK, "-cp", f"{folder}:{jars}/*", "shop.Application", *(f"--{k}={v}" for k, v in settings.items())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
