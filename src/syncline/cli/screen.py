"""What `up` and `demo` show: progress while programs start, lists side by side, one table of addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from syncline.cli.supervise import Child


class Screen:
    """Prints to standard output; colours and spinners only where somebody looks."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, text: str = "") -> None:
        """A paragraph; rich's markup is understood."""
        self._console.print(text)

    def chapter(self, number: int, title: str, text: str) -> None:
        """A heading, and what is about to be seen."""
        self.say()
        self._console.print(Rule(f"[bold]{number}  {title}[/]", align="left", style="cyan"))
        self.say(text)
        self.say()

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something goes on."""
        with self._console.status(f"[dim]{escape(what)} ...[/]"):
            yield

    def ready(self, child: Child) -> None:
        """A child that got ready."""
        where = f"  {escape(child.address)}" if child.address else ""
        self.say(f"  [green]✓[/] {child.name:<24}[dim]{child.ready_seconds or 0:5.1f} s[/]{where}")

    def done(self, text: str) -> None:
        """Something that went well."""
        self.say(f"  [green]✓[/] {text}")

    def verdict(self, good: bool, text: str) -> None:
        """What a chapter has shown."""
        self.say()
        self.say(f"[bold green]✓ {text}[/]" if good else f"[bold red]✗ {text}[/]")

    def orders(self, lists: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """The lists of several instances, side by side."""
        side_by_side = Table.grid(padding=(0, 2))
        tables = []
        for title, orders in lists.items():
            heading = f"{title}: {len(orders)} order{'' if len(orders) == 1 else 's'}"
            table = Table(title=heading, title_style="bold", title_justify="left", header_style="dim", box=None)
            table.add_column("order")
            table.add_column("product")
            table.add_column("qty", justify="right")
            table.add_column("total", justify="right")
            for order in orders:
                quantity, total = f"{order['quantity']}", f"{order['totalPrice']:,}"
                table.add_row(order["orderId"][:8], order["productId"], quantity, total)
            tables.append(table)
        side_by_side.add_row(*tables)
        self.say()
        self._console.print(Padding.indent(side_by_side, 2))

    def record(self, key: str | None, value: str | None) -> None:
        """A record with its JSON laid out for people."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column(overflow="fold")
        for label, text in (("key", key), ("value", value)):
            shown = "null" if text is None else laid_out(json.loads(text), self._console.width - 12)
            body = Text(shown)
            JSONHighlighter().highlight(body)
            grid.add_row(label, body)
        self._console.print(Padding.indent(grid, 2))

    def addresses(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """The table of what runs where."""
        table = Table(box=box.ROUNDED, border_style="cyan")
        table.add_column("what", no_wrap=True)
        table.add_column("where", overflow="fold")
        table.add_column("for", no_wrap=True)
        for what, where, purpose in rows:
            table.add_row(f"[bold]{escape(what)}[/]", escape(where), f"[dim]{escape(purpose)}[/]")
        self.say()
        self._console.print(table)


def laid_out(value: Any, width: int, indent: int = 0) -> str:
    """JSON in lines of at most `width` where possible: what fits on one line stays on it."""
    flat = json.dumps(value, ensure_ascii=False)
    if indent + len(flat) <= width or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + 2
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(name, ensure_ascii=False)}: {laid_out(held, width, inner)}" for name, held in value.items()
        ]
        opening, closing = "{", "}"
    else:
        parts = [laid_out(held, width, inner) for held in value]
        opening, closing = "[", "]"
    lines = f",\n{' ' * inner}".join(parts)
    return f"{opening}\n{' ' * inner}{lines}\n{' ' * indent}{closing}"
