"""Who may import whom (DESIGN.md, "Layers"): a breach fails the build."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"

FLOOR = {"errors", "ids", "clock", "lifecycle"}
PLUGINS = {"data", "options", "api"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "ids": set(),
    "clock": set(),
    "lifecycle": set(),
    "data": set(),
    "options": {"data"},
    "api": {"data", "options"},
    "converters": PLUGINS,
    "transforms": PLUGINS,
    "connectors": PLUGINS,
    "kafka": set(),
    "stores": {"data", "api", "kafka"},
    "worker": {"data", "options", "api", "kafka", "stores"},
    "cluster": {"data", "options", "api", "kafka", "stores", "worker", "client"},
    "client": set(),
    "rest": {"options", "client", "cluster"},
    "cli": {"client", "app", "broker_app"},
    "console": {"client", "app"},
    "kit": {"kafka", "data", "converters"},
    "broker": set(),
    "broker_app": {"options", "broker"},
    "testing": {
        "data",
        "options",
        "api",
        "converters",
        "kafka",
        "stores",
        "worker",
        "cluster",
        "client",
        "broker",
    },
}
"""Besides the package itself and the floor. `app` is the composition root and may import everything."""

ASYNCIO_ALLOWED = {"rest", "console", "broker", "kit", "testing", "app"}
KAFKA_LIBRARIES = {"confluent_kafka", "kafka", "aiokafka"}
DRIVERS = {"mariadb", "pymysql", "MySQLdb", "psycopg", "sqlite3"}
TIME = {"time", "sched"}


def modules() -> Iterator[tuple[str, Path]]:
    """Every source file of `syncline` with the package it belongs to."""
    for path in sorted((SOURCE / "syncline").rglob("*.py")):
        inside = path.relative_to(SOURCE / "syncline")
        package = inside.parts[0].removesuffix(".py")
        if package not in ("__init__", "__main__"):
            yield package, path


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[tuple[str, int]]:
    """Dotted names a file imports, with their lines; relative imports are refused elsewhere."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def breaches(package: str, path: Path) -> Iterator[str]:
    allowed = MAY_IMPORT[package] | FLOOR | {package}
    for name, line in imports(path):
        parts = name.split(".")
        where = f"{path.relative_to(SOURCE)}:{line}"
        if parts[0] == "syncline" and len(parts) > 1 and parts[1] not in allowed | {"__version__"}:
            yield f"{where} {package} may not import syncline.{parts[1]}"
        if parts[0] == "syncline_shop":
            yield f"{where} the product may not import the shop"
        if parts[0] == "asyncio" and package not in ASYNCIO_ALLOWED:
            yield f"{where} asyncio belongs to the edges"


def test_imports_point_downwards_only() -> None:
    found = [text for package, path in modules() if package != "app" for text in breaches(package, path)]
    assert sorted(set(found)) == []


def test_every_package_has_its_row() -> None:
    assert {package for package, _ in modules()} - {"app"} <= MAY_IMPORT.keys()


def test_only_the_kafka_package_imports_a_kafka_client_library() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line} {name}"
        for package, path in modules()
        for name, line in imports(path)
        if name.split(".")[0] in KAFKA_LIBRARIES and package not in ("kafka", "app")
    ]
    assert found == []


def test_database_drivers_are_imported_inside_functions_of_the_dialects_only() -> None:
    found = []
    for package, path in modules():
        inside = path.relative_to(SOURCE / "syncline").as_posix()
        allowed = inside.startswith(("connectors/jdbc/dialects/", "kit/db"))
        for name, line in imports(path, top_level_only=allowed):
            if name.split(".")[0] in DRIVERS and package != "app":
                found.append(f"{inside}:{line} {name}")
    assert found == []


def test_only_the_clock_reads_time() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for package, path in modules()
        for name, line in imports(path)
        # The broker and the edges run on their event loop's clock or need no fake time.
        if name.split(".")[0] in TIME and package not in {"clock", "broker", "testing", "cli"}
    ]
    assert found == []


def test_the_shop_uses_public_names_of_the_toolkit_only() -> None:
    found = []
    for path in sorted((SOURCE / "syncline_shop").rglob("*.py")):
        for name, line in imports(path):
            parts = name.split(".")
            if parts[0] != "syncline":
                continue
            hidden = any(part.startswith("_") for part in parts)
            if parts[:2] != ["syncline", "kit"] or hidden:
                found.append(f"{path.relative_to(SOURCE)}:{line} {name}")
    assert found == []


@pytest.mark.parametrize("package", ["syncline", "syncline_shop"])
def test_imports_are_absolute(package: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in sorted((SOURCE / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert found == []
