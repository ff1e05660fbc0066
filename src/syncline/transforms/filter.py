"""Filter: drop records; used with a predicate."""

from __future__ import annotations

from syncline.api import PluginKind, Transform, plugin
from syncline.transforms.sides import PACKAGE, R


@plugin(PluginKind.TRANSFORMATION, f"{PACKAGE}.Filter")
class Filter(Transform[R]):
    """Drops every record it is applied to."""

    def apply(self, record: R) -> R | None:
        return None
