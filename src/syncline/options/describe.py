"""Options as Connect's `/config` and `/config/validate` describe them, and as a table for the docs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from syncline.options.load import CheckedValue
from syncline.options.option import Kind, Option


def key_info(option: Option) -> dict[str, Any]:
    """The members of a ConfigKeyInfo."""
    default = option.default
    if default is not None and option.kind is Kind.PASSWORD:
        default = "[hidden]"
    return {
        "name": option.name,
        "type": option.kind.value,
        "required": option.required,
        "default_value": default,
        "importance": option.importance.value,
        "documentation": option.doc,
        "group": option.group,
        "width": option.width.value,
        "display_name": option.display or option.name,
        "dependents": list(option.dependents),
        "order": option.order,
    }


def value_info(answer: CheckedValue) -> dict[str, Any]:
    """The members of a ConfigValueInfo."""
    return {
        "name": answer.option.name,
        "value": shown(answer.value),
        "recommended_values": [str(shown(value)) for value in answer.recommended],
        "errors": list(answer.errors),
        "visible": answer.visible,
    }


def shown(value: Any) -> str | None:
    """A parsed value as text: lists joined with commas, passwords hidden."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(value)
    # Password prints as [hidden].
    return str(value)


def markdown_table(options: Iterable[Option]) -> str:
    """Rows for the docs: name, what it does, type, default, importance; options of no group first."""
    lines = ["| Option | What it does | Type | Default | Importance |", "|---|---|---|---|---|"]
    lines += [
        f"| `{option.name}` | {_cell(option.doc)} | {option.kind.value.lower()} | {_default(option)} "
        f"| {option.importance.value.lower()} |"
        for option in options
        if not option.internal
    ]
    return "\n".join(lines) + "\n"


def _default(option: Option) -> str:
    if option.required:
        return "required"
    if option.default is None:
        return "none"
    return f"`{_cell(option.default)}`" if option.default else "empty"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
