"""FileStreamSink: the text of each record, a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from syncline.api import ConnectorContext, PluginKind, SinkConnector, SinkContext, SinkTask, plugin
from syncline.data import SinkRecord
from syncline.data.values import java_text
from syncline.errors import ConfigError, ConnectError
from syncline.options import Importance, load, option


@dataclass(frozen=True, kw_only=True)
class FileSinkConfig:
    file: str | None = option("file", "The file to append to.", default=None, importance=Importance.HIGH)


@plugin(PluginKind.SINK, "org.apache.kafka.connect.file.FileStreamSinkConnector", settings=FileSinkConfig)
class FileStreamSinkConnector(SinkConnector):
    """Every task appends to the same file."""

    task_class = "org.apache.kafka.connect.file.FileStreamSinkTask"

    def start(self, config: Mapping[str, str], context: ConnectorContext) -> None:
        load(FileSinkConfig, config)
        self._config = dict(config)

    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        return [dict(self._config) for _ in range(max_tasks)]

    def make_task(self) -> SinkTask:
        return FileStreamSinkTask()

    def alter_offsets(
        self, config: Mapping[str, str], offsets: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]
    ) -> bool:
        return True


class FileStreamSinkTask(SinkTask):
    """Appends, and keeps nothing back."""

    def __init__(self) -> None:
        self._stream: TextIO | None = None

    def start(self, config: Mapping[str, str], context: SinkContext) -> None:
        file = load(FileSinkConfig, config).file
        if file is None:
            raise ConfigError({"file": ["writing to standard output is for a worker in the foreground; name a file"]})
        try:
            self._stream = Path(file).open("a", encoding="utf-8")  # noqa: SIM115  # closed by stop
        except OSError as exc:
            raise ConnectError(f"Couldn't find or create file '{file}' for FileStreamSinkTask: {exc.strerror}") from exc

    def put(self, records: list[SinkRecord]) -> None:
        assert self._stream is not None
        self._stream.writelines(f"{java_text(r.value_schema, r.value)}\n" for r in records)
        # As Java's stream, which has no buffer: who follows the file sees a record now, not at the next commit.
        self._stream.flush()

    def stop(self) -> None:
        if self._stream is not None:
            self._stream.close()
