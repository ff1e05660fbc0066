"""The key that signs tokens: made once, kept in a file only its owner can read, shared by instances."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from syncline.errors import ConfigError

ALGORITHM: Final = "EdDSA"
_FILE: Final = "token-key.pem"
_FOR_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key; its id is its thumbprint (RFC 7638)."""

    private: Ed25519PrivateKey

    @classmethod
    def in_folder(cls, folder: Path) -> SigningKey:
        """The key in `folder`, which is made if there is none; ConfigError when it cannot be used.

        Instances that start together end up with the same one.
        """
        path = folder / _FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _make(path)
            if path.stat().st_mode & _FOR_OTHERS:
                raise ConfigError(f"others may read {path}, which signs tokens: chmod 600 it, or remove it")
            private = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as exc:
            raise ConfigError(f"the key {path} cannot be used: {exc.strerror or exc}") from exc
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise ConfigError(f"{path} holds no private key in PEM form without a password") from exc
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError(f"{path} holds another kind of key than Ed25519")
        return cls(private)

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()

    @property
    def kid(self) -> str:
        """The key's id."""
        return _text(hashlib.sha256(json.dumps(self._shape(), separators=(",", ":"), sort_keys=True).encode()).digest())

    def jwks(self) -> dict[str, Any]:
        """The public half as others fetch it (RFC 7517)."""
        return {"keys": [{**self._shape(), "kid": self.kid, "use": "sig", "alg": ALGORITHM}]}

    def _shape(self) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "x": _text(self.public.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def _make(path: Path) -> None:
    """Write a new key beside `path` and give it the name, unless another instance was faster."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
