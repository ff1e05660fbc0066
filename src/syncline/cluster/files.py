"""Connector files: what `connect-standalone worker.properties [connector files]` takes (spec/connect.md 2.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from syncline.errors import ConfigError
from syncline.options.properties import parse_properties
from syncline.worker.states import Target

_STATES = {"RUNNING": Target.STARTED, "PAUSED": Target.PAUSED, "STOPPED": Target.STOPPED}


class ConnectorFile(NamedTuple):
    """A connector as a file describes it."""

    name: str
    config: dict[str, str]
    target: Target | None
    """What the file asks for with `initial_state`, if it does."""


def read_connector(path: Path) -> ConnectorFile:
    """JSON, flat or with `name`, `config` and `initial_state`; or Java properties. ConfigError names the mistake."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise ConfigError(f"connector file {path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"connector file {path} is not UTF-8 text") from exc
    content: Any = _json(path, text) if text.lstrip().startswith("{") else parse_properties(text)
    state = None
    if isinstance(content.get("config"), dict):
        state = content.get("initial_state")
        content = {"name": content.get("name"), **content["config"]}
    config = {key: _text(path, key, value) for key, value in content.items() if value is not None}
    if not config.get("name", "").strip():
        raise ConfigError(f"connector file {path} names no connector: 'name' is missing")
    return ConnectorFile(config["name"], config, None if state is None else _target(path, state))


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        # Numbers keep the text they have, as in a REST request.
        found: dict[str, Any] = json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as exc:
        raise ConfigError(
            f"connector file {path} is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}"
        ) from exc
    return found


def _text(path: Path, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise ConfigError(f"connector file {path}: the value of {key!r} must be a text, a number or a boolean")
    return value


def _target(path: Path, state: Any) -> Target:
    target = _STATES.get(str(state).upper())
    if target is None:
        raise ConfigError(f"connector file {path}: initial_state {state!r} is not one of {', '.join(_STATES)}")
    return target
