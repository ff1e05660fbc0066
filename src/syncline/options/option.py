"""What an option is, and how a settings class declares its options as fields.

    @dataclass(frozen=True, kw_only=True)
    class SinkConfig:
        batch_size: int = option("batch.size", "How many records ...", kind=Kind.INT, default="3000",
                                 check=at_least(0), group="Writes", display="Batch Size")

`options.load(SinkConfig, properties)` makes an instance or raises ConfigError with every message;
`options.check_all(options_of(SinkConfig), properties)` gives the answer of Connect's validate call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, final


class Kind(StrEnum):
    """Types of values, named as in the body of Connect's validate answer."""

    BOOLEAN = "BOOLEAN"
    STRING = "STRING"
    INT = "INT"
    SHORT = "SHORT"
    LONG = "LONG"
    DOUBLE = "DOUBLE"
    LIST = "LIST"
    CLASS = "CLASS"
    PASSWORD = "PASSWORD"  # noqa: S105  # a type's name


class Importance(StrEnum):
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Width(StrEnum):
    NONE = "NONE"
    SHORT = "SHORT"
    MEDIUM = "MEDIUM"
    LONG = "LONG"


@final
class Password:
    """A secret text; prints as `[hidden]`, compares by value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __str__(self) -> str:
        return "[hidden]"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Password) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


Check = Callable[[str, Any], None]
"""Called with the option's name and its parsed value (None when absent or unparseable); raises
ValueError whose text is the whole message the user sees."""

Recommend = Callable[[Mapping[str, Any]], Sequence[Any]]
"""From the parsed values of a plug-in's options (None where unusable) to the values a form should offer."""

Visible = Callable[[Mapping[str, Any]], bool]
"""From those values to whether a form should show the option."""

REQUIRED: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option, as Kafka's ConfigDef describes it."""

    name: str
    doc: str
    kind: Kind = Kind.STRING
    default: str | None = None
    """In the text form a user would write; meaningless when `required`."""
    required: bool = False
    """No default: the option must be given."""
    importance: Importance = Importance.MEDIUM
    group: str | None = None
    order: int = -1
    """Position within the group, from 1; -1 without a group."""
    width: Width = Width.NONE
    display: str = ""
    dependents: tuple[str, ...] = ()
    check: Check | None = None
    recommend: Recommend | None = None
    visible: Visible | None = None
    """Always, when None."""
    internal: bool = False
    """Accepted but left out of validation answers."""


def option(
    name: str,
    doc: str,
    *,
    kind: Kind = Kind.STRING,
    default: str | object | None = REQUIRED,
    importance: Importance = Importance.MEDIUM,
    group: str | None = None,
    order: int = -1,
    width: Width = Width.NONE,
    display: str = "",
    dependents: Sequence[str] = (),
    check: Check | None = None,
    recommend: Recommend | None = None,
    visible: Visible | None = None,
    internal: bool = False,
) -> Any:
    """Declare an option as a dataclass field; without `default` it must be given.

    The field's Python value is str, int, float, bool, list[str] or Password after `kind`, or None where
    the default is None.
    """
    made = Option(
        name=name,
        doc=doc,
        kind=kind,
        default=None if default is REQUIRED else default,  # type: ignore[arg-type]  # REQUIRED is the only object
        required=default is REQUIRED,
        importance=importance,
        group=group,
        order=order,
        width=width,
        display=display or name,
        dependents=tuple(dependents),
        check=check,
        recommend=recommend,
        visible=visible,
        internal=internal,
    )
    return dataclasses.field(metadata={"option": made})


def options_of(settings: type[Any]) -> tuple[Option, ...]:
    """The options `settings` declares, in the order of its fields."""
    return tuple(field.metadata["option"] for field in dataclasses.fields(settings) if "option" in field.metadata)
