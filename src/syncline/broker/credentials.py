"""SCRAM credentials: kept in the metadata log, salted and hashed, never as passwords (KIP-554)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Final

from syncline.broker.sasl import SCRAM, ScramCredential

KIND: Final = "scram"
"""Of the metadata log's records."""
NUMBERS: Final = {"SCRAM-SHA-256": 1, "SCRAM-SHA-512": 2}
"""As requests name mechanisms."""
NAMES: Final = {number: name for name, number in NUMBERS.items()}
FEWEST_ITERATIONS: Final = 4096
MOST_ITERATIONS: Final = 16384

Store = Callable[[bytes, bytes | None], None]
"""Writes a record of the metadata log, durably; no value deletes."""


class Credentials:
    """All users' SCRAM credentials, by mechanism and name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], ScramCredential] = {}

    def replay(self, name: str, value: bytes | None) -> None:
        """Take over a record of the log; `name` is its key after the kind."""
        mechanism, _, user = name.partition(":")
        if value is None:
            self._known.pop((mechanism, user), None)
            return
        facts = json.loads(value)
        salt, stored_key, server_key = (base64.b64decode(facts[key]) for key in ("salt", "stored_key", "server_key"))
        self._known[mechanism, user] = ScramCredential(salt, int(facts["iterations"]), stored_key, server_key)

    def get(self, mechanism: str, user: str) -> ScramCredential | None:
        return self._known.get((mechanism, user))

    def of(self, user: str) -> dict[str, ScramCredential]:
        """A user's credentials by mechanism."""
        return {name: found for name in SCRAM if (found := self.get(name, user)) is not None}

    def users(self) -> Iterator[str]:
        """Everyone who has a credential, sorted."""
        return iter(sorted({user for _, user in self._known}))

    def put(self, mechanism: str, user: str, credential: ScramCredential) -> None:
        """Set a credential; it is durable when this returns."""
        facts = {
            "iterations": credential.iterations,
            "salt": base64.b64encode(credential.salt).decode(),
            "stored_key": base64.b64encode(credential.stored_key).decode(),
            "server_key": base64.b64encode(credential.server_key).decode(),
        }
        self._store(_key(mechanism, user), json.dumps(facts).encode())
        self._known[mechanism, user] = credential

    def delete(self, mechanism: str, user: str) -> None:
        """Forget a credential that is there."""
        self._store(_key(mechanism, user), None)
        del self._known[mechanism, user]


def _key(mechanism: str, user: str) -> bytes:
    return f"{KIND}:{mechanism}:{user}".encode()
