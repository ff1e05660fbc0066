"""Users that a broker is given at its start, in the words of `kafka-storage format --add-scram`.

Where nobody can log in yet, nobody can give users their passwords either: the first must be there before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from syncline.broker.credentials import FEWEST_ITERATIONS, MOST_ITERATIONS
from syncline.broker.errors import BrokerError
from syncline.broker.sasl import SCRAM, ScramCredential

FORM: Final = "SCRAM-SHA-256=[name=NAME,password=PASSWORD]"
KEYS: Final = ("name", "password", "iterations", "salt", "saltedpassword")
SALT_SIZE: Final = 24
_OUTER: Final = re.compile(r"\s*([\w-]+)\s*=\s*\[(.*)\]\s*", re.DOTALL)
_INNER: Final = re.compile(r"""\s*(\w+)\s*=\s*(?:"([^"]*)"|([^,"]*?))\s*(?:,|$)""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ScramUser:
    """A user with a credential for one mechanism."""

    name: str
    mechanism: str
    credential: ScramCredential


def scram_user(text: str) -> ScramUser:
    """What an `--add-scram` says; BrokerError, which shows nothing secret, when it is not of the form.

    `password`, or `saltedpassword` and `salt` in base 64; `iterations` and, with a password, `salt` may be left out.
    A value with commas in it stands in double quotes.
    """
    outer = _OUTER.fullmatch(text)
    if outer is None:
        raise BrokerError(f"--add-scram is not of the form {FORM}")
    mechanism = outer[1]
    if mechanism not in SCRAM:
        raise BrokerError(f"--add-scram {mechanism}=[...]: the mechanism is not one of {', '.join(SCRAM)}")
    given = _given(mechanism, outer[2])
    name, password, salted = given.get("name"), given.get("password"), given.get("saltedpassword")
    if not name:
        raise _wrong(mechanism, "name is missing")
    if (password is None) == (salted is None):
        raise _wrong(mechanism, "one of password and saltedpassword is needed, and only one")
    if password == "":
        raise _wrong(mechanism, "the password is empty")
    if salted is not None and "salt" not in given:
        raise _wrong(mechanism, "saltedpassword needs the salt it was made with")
    iterations = given.get("iterations", str(FEWEST_ITERATIONS))
    if not iterations.isdecimal() or not FEWEST_ITERATIONS <= int(iterations) <= MOST_ITERATIONS:
        raise _wrong(mechanism, f"iterations={iterations} is not from {FEWEST_ITERATIONS} to {MOST_ITERATIONS}")
    salt = _decoded(mechanism, "salt", given["salt"]) if "salt" in given else secrets.token_bytes(SALT_SIZE)
    if password is not None:
        key = hashlib.pbkdf2_hmac(SCRAM[mechanism], password.encode(), salt, int(iterations))
    else:
        key = _decoded(mechanism, "saltedpassword", salted or "")
    return ScramUser(name, mechanism, ScramCredential.of(mechanism, salt, int(iterations), key))


def _given(mechanism: str, inner: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(inner):
        part = _INNER.match(inner, position)
        if part is None:
            raise _wrong(mechanism, "what stands between the brackets is not key=value,key=value")
        key, value = part[1], part[3] if part[2] is None else part[2]
        if key not in KEYS:
            raise _wrong(mechanism, f"{key} is not one of {', '.join(KEYS)}")
        if key in found:
            raise _wrong(mechanism, f"{key} is there twice")
        found[key] = value
        position = part.end()
    return found


def _decoded(mechanism: str, key: str, text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise _wrong(mechanism, f"{key} is not in base 64")
    return found


def _wrong(mechanism: str, why: str) -> BrokerError:
    return BrokerError(f"--add-scram {mechanism}=[...]: {why}; it is of the form {FORM}")
