"""The data folder: one broker at a time has it, and only one whose format this version knows."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final
from uuid import uuid4

from syncline.broker.errors import BrokerError
from syncline.broker.files import sync_folder, write_durably

FORMAT: Final = 1
"""Of the data folder; a folder of a later format is refused."""
NODE_ID: Final = 1
KAFKA_WRITES: Final = ("bootstrap.checkpoint", "recovery-point-offset-checkpoint", "replication-offset-checkpoint")
"""Files that Apache Kafka has in a data folder, and this broker has not."""
KAFKA_SAYS: Final = frozenset({"directory.id", "broker.id"})
"""The same of keys in `meta.properties`."""


class DataFolder:
    """A folder that is this broker's from `take` to `release`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cluster_id = ""
        """Made when the folder is first used."""
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folder if need be; BrokerError, and nothing in it is changed, when it cannot be had."""
        try:
            self._refuse_kafkas()
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            self._take_lock(self._lock)
            self.cluster_id = self._identity()
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as exc:
            self.release()
            raise BrokerError(f"the data folder {self.path} cannot be used: {exc.strerror}") from exc
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let another broker have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            who = f"process {owner}" if owner else "another broker"
            raise BrokerError(
                f"the data folder {self.path} is in use by {who}; stop that broker or choose another folder"
            ) from exc

    def _refuse_kafkas(self) -> None:
        """BrokerError for a folder of Apache Kafka's: the segments are alike, but not what is written about them.

        Its batches have the epochs of its leaders, which would be taken for damage and cut off.
        """
        marks = [self.path / name for name in KAFKA_WRITES if (self.path / name).exists()]
        if marks or KAFKA_SAYS & self._facts().keys():
            raise BrokerError(
                f"the data folder {self.path} belongs to Apache Kafka ({(marks or [self._marker])[0].name} is there): "
                "choose another folder; nothing was changed"
            )

    @property
    def _marker(self) -> Path:
        return self.path / "meta.properties"

    def _facts(self) -> dict[str, str]:
        """What the marker says; nothing where there is none."""
        try:
            lines = self._marker.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def _identity(self) -> str:
        """The cluster's id, from the folder's marker; BrokerError when the folder is not one of this version's."""
        if not self._marker.exists():
            cluster_id = uuid4().hex[:22]
            content = f"version={FORMAT}\ncluster.id={cluster_id}\nnode.id={NODE_ID}\n"
            write_durably(self._marker, content.encode())
            sync_folder(self.path)
            return cluster_id
        facts = self._facts()
        version, cluster_id = facts.get("version", ""), facts.get("cluster.id", "")
        if not version.isdecimal() or not cluster_id:
            raise BrokerError(
                f"{self._marker} is damaged: it must have a line version={FORMAT} and a line cluster.id=...; "
                f"mend it, or remove the file to have a new one made"
            )
        if int(version) > FORMAT:
            raise BrokerError(
                f"the data folder {self.path} was written by a newer version of Syncline (format {version}, this one "
                f"knows up to {FORMAT}): use that version or later, or another folder; nothing was changed"
            )
        return cluster_id
