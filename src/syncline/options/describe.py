"""Options as the bodies of Connect's `/config` and `/config/validate` describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syncline.options.load import CheckedValue
from syncline.options.option import Kind, Option, Password


def key_info(option: Option) -> dict[str, Any]:
    """ConfigKeyInfo."""
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


def value_info(answer: CheckedValue, given: Mapping[str, str | None]) -> dict[str, Any]:
    """ConfigValueInfo; passwords are hidden, lists joined with commas."""
    option = answer.option
    recommended = option.recommend({k: v for k, v in given.items() if v is not None}) if option.recommend else []
    return {
        "name": option.name,
        "value": shown(answer.value),
        "recommended_values": list(recommended),
        "errors": list(answer.errors),
        "visible": answer.visible,
    }


def shown(value: Any) -> str | None:
    """A parsed value as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(value)
    return "[hidden]" if isinstance(value, Password) else str(value)
