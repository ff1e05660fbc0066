"""A typed, blocking client of Kafka Connect's REST interface; also works with a JVM worker."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from syncline.errors import SynclineError


class ConnectUnreachable(SynclineError):
    """No worker answers at the address."""


class ConnectRefused(SynclineError):
    """The worker refused a request; `status` is HTTP's, the text the worker's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ConnectClient:
    """One worker's REST interface at `url`; a context manager."""

    def __init__(self, url: str, *, seconds: float = 95) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=httpx.Timeout(seconds, connect=5))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def _call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        try:
            answer = self._http.request(method, path, json=body, params=query)
        except httpx.TransportError as exc:
            raise ConnectUnreachable(f"no Connect worker answers at {self.url}: {exc}") from exc
        if answer.is_success:
            return answer.json() if answer.content else None
        try:
            message = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = answer.text.strip() or answer.reason_phrase
        raise ConnectRefused(answer.status_code, message)

    @staticmethod
    def _at(name: str, *rest: str) -> str:
        return "/".join(["/connectors", quote(name, safe=""), *rest])

    def root(self) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", "/")
        return found

    def connectors(self) -> list[str]:
        found: list[str] = self._call("GET", "/connectors")
        return found

    def statuses(self) -> dict[str, Any]:
        """Status of every connector, by name."""
        found: dict[str, Any] = self._call("GET", "/connectors", expand="status")
        return {name: parts["status"] for name, parts in found.items()}

    def create(self, name: str, config: Mapping[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = self._call("POST", "/connectors", {"name": name, "config": dict(config)})
        return found

    def put_config(self, name: str, config: Mapping[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = self._call("PUT", self._at(name, "config"), dict(config))
        return found

    def info(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", self._at(name))
        return found

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", self._at(name, "status"))
        return found

    def pause(self, name: str) -> None:
        self._call("PUT", self._at(name, "pause"))

    def resume(self, name: str) -> None:
        self._call("PUT", self._at(name, "resume"))

    def stop(self, name: str) -> None:
        self._call("PUT", self._at(name, "stop"))

    def restart(self, name: str, *, include_tasks: bool = False, only_failed: bool = False) -> None:
        flags = {"includeTasks": str(include_tasks).lower(), "onlyFailed": str(only_failed).lower()}
        self._call("POST", self._at(name, "restart"), None, **flags)

    def delete(self, name: str) -> None:
        self._call("DELETE", self._at(name))
