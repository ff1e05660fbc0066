"""`python -m tests.kafka_python_suite`: kafka-python's own integration tests against the embedded broker.

They come from the source distribution of the installed version, which pip fetches. What is excluded is named below.
The source distributions of confluent-kafka and aiokafka carry no tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.processes import BrokerProgram

FILES: Final = ("consumer", "producer", "admin")
EXCLUDED: Final = {
    "test_create_describe_delete_acls": "no access control lists",
    "test_alter_replica_log_dirs": "one folder",
    "test_describe_metadata_quorum": "one node, no quorum",
    "test_alter_partition_reassignments": "one node, nothing to move",
    "test_create_partitions": "gives partitions to broker 0; the only one here has the id 1",
    "test_describe_configs_broker_resource_returns_configs": "expects broker.id, as set in a file",
}
SETTINGS: Final = {"group.min.session.timeout.ms": "1000", "num.partitions": "4"}
"""As in the suite's own server.properties."""
LEFT_OUT: Final = {
    # The distribution lacks these two; the suite only needs them to start brokers of its own.
    "__init__.py": "",
    "service.py": """
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    close = open


class SpawnedService:
    pass
""",
}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="kafka-python-") as place:
        folder = Path(place)
        name = f"kafka-python=={version('kafka-python')}"
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "kafka-python", "-d", place]
        subprocess.run([*pip, name], check=True)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
        (tests,) = folder.glob("*/test")
        # Beside the installed package, not over it.
        suite = (folder / "suite").resolve()
        suite.mkdir()
        tests.rename(suite / "test")
        for left_out, text in LEFT_OUT.items():
            (suite / "test" / left_out).write_text(text)
        broker = BrokerProgram.at(folder)
        broker.arguments = [*broker.arguments, *(f"--override={key}={value}" for key, value in SETTINGS.items())]
        with broker:
            return run(suite, broker.bootstrap)


def run(suite: Path, bootstrap: str) -> int:
    """pytest's exit status."""
    files = [f"test/integration/test_{name}_integration.py" for name in FILES]
    deselected = [f"--deselect={file}::{name}" for file in files for name in EXCLUDED]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--override-ini=timeout=90", f"--rootdir={suite}"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(suite),
        "KAFKA_VERSION": "4.1.0",
        "KAFKA_URI": f"kafka://{bootstrap}",
        "KAFKA_ROOT": str(suite),
    }
    command = [sys.executable, "-m", "pytest", *options, *deselected, *files]
    return subprocess.run(command, cwd=suite, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
