"""Kafka Connect's REST interface, recorded request by request, against a worker of ours.

A row of `differences.toml` gives for single steps, named by their number, what comes out instead, and for messages
of a category what they quote instead:

    [row.expect."3"]
    status = 404

    [row.expect]
    null_body_or_config = ["the request"]
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from syncline.broker import BrokerThread
from tests.golden.connect_site import HttpAnswer, Site, log_levels_restored, with_account
from tests.golden.matching import differences_between
from tests.golden.support import Case, cases, rows, settling

FILE = "rest.json"
SETTLE_SECONDS = 10


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture(scope="module")
def site_for(
    broker: BrokerThread, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[Case], Site]]:
    """The worker for a case: of its mode, with a database if it needs one."""
    sites: dict[tuple[str, bool], Site] = {}

    def site(case: Case) -> Site:
        sql = "<jdbc_url>" in repr(case.data["steps"]) or any(step.get("do") == "sql" for step in case.data["steps"])
        key = (case.data["mode"], sql)
        if key not in sites:
            server = with_account(request.getfixturevalue("mariadb_server"), "goldendb") if sql else None
            made = Site(tmp_path_factory.mktemp("site"), broker, key[0] != "standalone", server)
            sites[key] = made.__enter__()
        return sites[key]

    with log_levels_restored():
        yield site
        for made in sites.values():
            made.__exit__()


@pytest.mark.parametrize("case", cases(FILE))
def test_recorded(case: Case, site_for: Callable[[Case], Site]) -> None:
    site = site_for(case)
    instead = expected_instead(case)
    settle = False
    try:
        with settling(case) as verdict:
            for number, step in enumerate(case.data["steps"]):
                if "do" in step:
                    site.act(step)
                    settle = True
                    continue
                expected = requoted(step["expect"], instead) | instead.get(str(number), {})
                differences = compared(site, step, expected, settle=settle)
                what = f"{number} {step['method']} {step['path']}"
                verdict.mismatches += [f"{what} {difference}" for difference in differences]
                settle = False
    finally:
        site.delete(*case.data["cleanup"])


def expected_instead(case: Case) -> dict[str, Any]:
    """By step, or by category of message, what comes out on purpose, from all rows that speak of the case."""
    found: dict[str, Any] = {}
    for row in rows("differences"):
        if row.file == FILE and row.covers(case.id, case.group):
            found.update(row.expect or {})
    return found


def requoted(expected: Any, instead: Mapping[str, Any]) -> Any:
    """What was recorded, with messages of some categories quoting something else."""
    if isinstance(expected, dict):
        if expected.get("$category") in instead:
            return {**expected, "$quoted": instead[expected["$category"]]}
        return {key: requoted(value, instead) for key, value in expected.items()}
    return expected


def compared(site: Site, step: Mapping[str, Any], expected: Mapping[str, Any], *, settle: bool) -> list[str]:
    """How the answer differs; after an action of the scenario a GET is repeated until it no longer does."""
    deadline = time.monotonic() + (SETTLE_SECONDS if settle and step["method"] == "GET" else 0)
    while True:
        differences = differences_of(site, site.request(step), step, expected)
        if not differences or time.monotonic() > deadline:
            return differences
        time.sleep(0.02)


def differences_of(site: Site, answer: HttpAnswer, step: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    shown = {"status": answer.status, "body_kind": answer.kind, "headers": headers_of(answer, expected["headers"])}
    wanted = {key: expected[key] for key in shown}
    if "json" in expected and answer.kind == "json":
        body = reduced(step, answer)
        wanted["json"] = in_order(step, numbers_filled(expected["json"], body))
        shown["json"] = in_order(step, body)
    return differences_between(wanted, shown, site.names)


def headers_of(answer: HttpAnswer, expected: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: answer.headers.get(name) for name in expected}
    if found.get("allow") is not None:
        found["allow"] = sorted(part.strip() for part in found["allow"].split(","))
    return found


def reduced(step: Mapping[str, Any], answer: HttpAnswer) -> Any:
    """What the recorder kept of a successful answer."""
    body = answer.json
    if answer.status != 200:
        return body
    match step.get("reduce"):
        case "errors_only":
            errors = {c["value"]["name"]: c["value"]["errors"] for c in body["configs"] if c["value"]["errors"]}
            return {key: body[key] for key in ("name", "error_count", "groups")} | {"errors": errors}
        case "key_names":
            return [entry["name"] for entry in body]
        case "loggers":
            return {name: body[name] for name in body if name == "root" or "golden" in name}
        case "golden_loggers":
            return [name for name in body if name == "root" or "golden" in name]
        case _:
            return body


def numbers_filled(expected: Any, actual: Any) -> Any:
    """`<epoch_ms>` stands for a number, which the comparison of texts does not know."""
    if expected == "<epoch_ms>" and isinstance(actual, int):
        return actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {key: numbers_filled(value, actual.get(key)) for key, value in expected.items()}
    return expected


def in_order(step: Mapping[str, Any], body: Any) -> Any:
    """Lists whose order means nothing, sorted: connector names, and a connector's offsets."""
    if isinstance(body, list) and step["path"].partition("?")[0] == "/connectors":
        return sorted(body)
    if isinstance(body, dict) and isinstance(body.get("offsets"), list):
        return {**body, "offsets": sorted(body["offsets"], key=lambda entry: repr(sorted(entry["partition"].items())))}
    return body


def test_rows_name_steps_and_categories_that_exist() -> None:
    for param in cases(FILE):
        case: Case = param.values[0]
        categories = set(re.findall(r'"\$category": "(\w+)"', json.dumps(case.data["steps"])))
        steps = {str(number) for number in range(len(case.data["steps"]))}
        assert set(expected_instead(case)) <= steps | categories, case.id
