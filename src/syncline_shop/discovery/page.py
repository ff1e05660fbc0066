"""The registry as a page for people. Everything that instances say about themselves is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import groupby

from syncline.kit.discovery.eureka import InstanceInfo

_LINKABLE = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #ddd}
th{font-weight:600}code{font-size:13px}.UP{color:#0a6b2d}.DOWN,.OUT_OF_SERVICE{color:#a11}.STARTING,.UNKNOWN{color:#8a5a00}
.warning{background:#fff3d6;border-left:4px solid #c80;padding:.6rem 1rem}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}th,td{border-color:#333}a{color:#8bf}
.UP{color:#5d8}.DOWN,.OUT_OF_SERVICE{color:#f88}.STARTING,.UNKNOWN{color:#fc6}.warning{background:#3a2c08}}
"""


def render(instances: Sequence[InstanceInfo], *, preserving: bool, now_ms: int) -> str:
    """The whole page for `instances`, which are sorted by application."""
    warning = (
        '<p class="warning" role="alert">Self-preservation: too many instances fell silent at once, so none '
        "expires until they renew again. Some of those below may be gone.</p>"
        if preserving
        else ""
    )
    groups = [(name, list(infos)) for name, infos in groupby(instances, key=lambda info: info.app or "")]
    rows = "".join(_application(name, infos, now_ms) for name, infos in groups)
    table = (
        "<table><thead><tr><th scope=col>Application</th><th scope=col>Status</th><th scope=col>Instance</th>"
        f"<th scope=col>Last renewal</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else "<p>No instance is registered.</p>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Instances</title>'
        '<meta http-equiv="refresh" content="5"><meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>Instances</h1>{warning}{table}"
        "<p>The same for programs: <a href='eureka/apps'><code>/eureka/apps</code></a></p></body></html>"
    )


def _application(name: str, instances: Sequence[InstanceInfo], now_ms: int) -> str:
    up = sum(info.status == "UP" for info in instances)
    head = f'<th scope=rowgroup rowspan="{len(instances)}">{escape(name)}<br>{up} of {len(instances)} UP</th>'
    return "".join(
        f"<tr>{head if number == 0 else ''}{_cells(info, now_ms)}</tr>" for number, info in enumerate(instances)
    )


def _cells(info: InstanceInfo, now_ms: int) -> str:
    label = f"<code>{escape(info.id)}</code>"
    url = info.url
    where = f'<a href="{escape(url)}/health/ready">{escape(url)}</a>' if _LINKABLE.fullmatch(url) else escape(url)
    seconds = max(0, now_ms - info.lease.renewed_at) / 1000
    status = escape(info.status)
    return f'<td class="{status}">{status}</td><td>{where}<br>{label}</td><td>{seconds:.0f} s ago</td>'
