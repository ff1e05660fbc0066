"""Passwords as argon2id hashes; checking one takes as long whether or not there is such a user."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE: Final = max(2, os.cpu_count() or 1)
"""Each check takes 64 MB and a core for a moment: a rush of logins must not take the machine."""


class Passwords:
    """Hashes and checks; RFC 9106's second recommendation, as argon2-cffi has it."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobodys = self._hasher.hash("nobody has this password")
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """At most 255 characters, parameters and salt included."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, stored: str | None, password: str) -> bool:
        """Whether the password is right; with `stored` None it is not, after the same time."""
        async with self._turns:
            right = await asyncio.to_thread(self._matches, stored or self._nobodys, password)
        return right and stored is not None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
