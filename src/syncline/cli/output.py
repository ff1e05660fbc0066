"""What commands print: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Bootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap-server", "-b", envvar="SYNCLINE_BOOTSTRAP_SERVERS", help="Where Kafka is reached, host:port."
    ),
]


def show_json(value: Any) -> None:
    """`value`, plain or of the client's models, on standard output."""
    import msgspec

    print(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """A plain table; `empty` is what to say when there is nothing."""
    if not rows:
        print(empty)
        return
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cells[i]) for cells in [list(columns), *texts]) for i in range(len(columns))]
    for cells in [list(columns), *texts]:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
