"""FileStreamSource: one record per line of a text file."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from syncline.api import ConnectorContext, PluginKind, SourceConnector, SourceContext, SourceTask, plugin
from syncline.data import SourceRecord, Type, primitive
from syncline.errors import ConfigError, ConnectError
from syncline.options import Importance, Kind, load, non_empty, option

_STRING: Final = primitive(Type.STRING)
IDLE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class FileSourceConfig:
    file: str | None = option(
        "file", "The file to read; standard input when absent.", default=None, importance=Importance.HIGH
    )
    topic: str = option("topic", "The topic to write to.", importance=Importance.HIGH, check=non_empty)
    batch_size: int = option("batch.size", "Lines per poll.", kind=Kind.INT, default="2000", importance=Importance.LOW)


@plugin(PluginKind.SOURCE, "org.apache.kafka.connect.file.FileStreamSourceConnector", settings=FileSourceConfig)
class FileStreamSourceConnector(SourceConnector):
    """Always one task."""

    task_class = "org.apache.kafka.connect.file.FileStreamSourceTask"

    def start(self, config: Mapping[str, str], context: ConnectorContext) -> None:
        load(FileSourceConfig, config)
        self._config = dict(config)

    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        return [dict(self._config)]

    def make_task(self) -> SourceTask:
        return FileStreamSourceTask()

    def exactly_once_support(self, config: Mapping[str, str]) -> bool:
        return bool(config.get("file"))

    def alter_offsets(
        self, config: Mapping[str, str], offsets: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]
    ) -> bool:
        if not config.get("file"):
            raise ConnectError(
                "Offsets cannot be modified if the 'file' configuration is unspecified. "
                "This is because stdin is used for input and offsets are not tracked."
            )
        for partition, offset in offsets:
            if offset is None:
                continue
            if not partition or "filename" not in partition:
                raise ConnectError("Partition objects should contain the key 'filename'")
            if "position" not in offset:
                raise ConnectError("Offset objects should either be null or contain the key 'position'")
            position = offset["position"]
            if not isinstance(position, int) or isinstance(position, bool):
                raise ConnectError("The value for the 'position' key in the offset is expected to be a Long value")
            if position < 0:
                raise ConnectError("The value for the 'position' key in the offset should be a non-negative value")
        return True


class FileStreamSourceTask(SourceTask):
    """Positions are bytes, so that a file that is not ASCII resumes where it stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._stream: BinaryIO | None = None
        self._rest = b""

    def start(self, config: Mapping[str, str], context: SourceContext) -> None:
        self._config = load(FileSourceConfig, config)
        if self._config.file is None:
            raise ConfigError({"file": ["reading standard input is for a worker in the foreground; name a file"]})
        self._partition = {"filename": self._config.file}
        (stored,) = context.offsets.offsets([self._partition])
        position = stored.get("position") if stored else 0
        if not isinstance(position, int):
            raise ConnectError(f"Offset position is the incorrect type: {position!r}")
        self._position = position

    def poll(self) -> list[SourceRecord] | None:
        if self._stream is None and not self._open():
            self._stopping.wait(IDLE_SECONDS)
            return None
        assert self._stream is not None
        records: list[SourceRecord] = []
        while len(records) < self._config.batch_size:
            line = self._line()
            if line is None:
                break
            records.append(
                SourceRecord(
                    self._partition,
                    {"position": self._position},
                    self._config.topic,
                    _STRING,
                    line.decode(errors="replace"),
                )
            )
        if not records:
            self._stopping.wait(IDLE_SECONDS)
        return records or None

    def _open(self) -> bool:
        assert self._config.file is not None
        try:
            self._stream = Path(self._config.file).open("rb")  # noqa: SIM115  # closed by close
        except FileNotFoundError:
            return False
        self._stream.seek(self._position)
        return True

    def _line(self) -> bytes | None:
        r"""The next whole line without its end (`\n`, `\r\n`, `\r`); None while it is not complete."""
        assert self._stream is not None
        while True:
            end = next((i for i, byte in enumerate(self._rest) if byte in b"\r\n"), -1)
            whole = end >= 0 and (self._rest[end : end + 1] == b"\n" or len(self._rest) > end + 1)
            if whole:
                after = end + (2 if self._rest[end : end + 2] == b"\r\n" else 1)
                line, self._rest = self._rest[:end], self._rest[after:]
                self._position += after
                return line
            more = self._stream.read(65536)
            if not more:
                return None
            self._rest += more

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
