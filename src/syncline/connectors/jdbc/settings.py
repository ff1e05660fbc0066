"""How to connect: URL, account, driver options, session settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncline.connectors.jdbc.moments import Zone, zone_of
from syncline.connectors.jdbc.url import JdbcUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to connect."""

    url: JdbcUrl
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further `connection.*` keys, without the prefix."""
    timezone: Zone = field(default_factory=lambda: zone_of("UTC"))
    isolation: str | None = None
    """`READ COMMITTED` and so on; None for the database's default."""
    timeout: int = 40
    """Seconds a connection may take."""

    def option(self, *names: str) -> str | None:
        """A driver option, given in the URL or as `connection.<name>`, in any letter case; the first name wins."""
        places = [
            {name.lower(): value for name, value in place.items()} for place in (self.url.options, self.properties)
        ]
        for name in names:
            for place in places:
                if name.lower() in place:
                    return place[name.lower()]
        return None

    def flag(self, *names: str) -> bool | None:
        """A driver option that is true or false; None when it is not given."""
        value = self.option(*names)
        return None if value is None else value.strip().lower() in ("", "true", "1", "yes", "on")

    def seconds(self, *names: str) -> int | None:
        """A driver option in milliseconds, as whole seconds but at least one; None when absent or zero."""
        value = self.option(*names)
        if value is None or not value.strip().isdigit() or int(value) == 0:
            return None
        return max(int(value) // 1000, 1)
