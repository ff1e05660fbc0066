"""Keys that instances share, tokens that cannot be forged, passwords that cannot be guessed from the time."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from syncline.errors import ConfigError
from syncline.kit.auth import Passwords, SigningKey, Tokens
from syncline.kit.problems import Problem

NAMES: dict[str, Any] = {"issuer": "user-service", "audience": "syncline-shop", "seconds": 900}


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.in_folder(tmp_path / "data")


class Clock:
    """Stands still until it is moved."""

    now_ms = 1_800_000_000_000

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def wait(self, event: Any, seconds: float) -> bool:
        raise AssertionError("nobody waits here")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = SigningKey.in_folder(tmp_path / "data")
    file = tmp_path / "data" / "token-key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert SigningKey.in_folder(tmp_path / "data").kid == first.kid
    assert [path.name for path in file.parent.iterdir()] == ["token-key.pem"]


def test_instances_that_start_together_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: SigningKey.in_folder(tmp_path / "data").kid, range(16)))
    assert len(set(keys)) == 1


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, key: SigningKey) -> None:
    file = tmp_path / "data" / "token-key.pem"
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        SigningKey.in_folder(file.parent)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token-key.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"token-key\.pem"):
        SigningKey.in_folder(tmp_path)
    assert file.read_bytes() == content


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token-key.pem"
    rsa = generate_private_key(65537, 2048)
    file.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="another kind of key than Ed25519"):
        SigningKey.in_folder(tmp_path)


def test_the_public_half_checks_tokens_elsewhere(key: SigningKey) -> None:
    token = Tokens(key, **NAMES).issue("u-1", ["admin"])
    (published,) = key.jwks()["keys"]
    assert "d" not in published
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": published["kid"], "typ": "JWT"}
    said = jwt.decode(token, jwt.PyJWK(published), ["EdDSA"], issuer="user-service", audience="syncline-shop")
    assert (said["sub"], said["roles"], said["exp"] - said["iat"]) == ("u-1", ["admin"], 900)


def test_a_token_says_who_may_see_what(key: SigningKey) -> None:
    tokens = Tokens(key, **NAMES)
    user = tokens.check(f"Bearer {tokens.issue('u-1')}")
    assert user.may_see("u-1")
    assert not user.may_see("u-2")
    assert tokens.check(f"bearer  {tokens.issue('root', ['admin'])}").may_see("u-2")


def test_a_token_is_good_until_it_expires(key: SigningKey, clock: Clock) -> None:
    tokens = Tokens(key, clock=clock, **NAMES)
    header = f"Bearer {tokens.issue('u-1')}"
    clock.now_ms += 899_999
    assert tokens.check(header).subject == "u-1"
    clock.now_ms += 1
    with pytest.raises(Problem, match="expired") as caught:
        tokens.check(header)
    assert caught.value.status == 401
    assert 'error="invalid_token"' in caught.value.headers["WWW-Authenticate"]


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(key: SigningKey, tmp_path: Path) -> dict[str, str]:
    """Tokens that look right and are not."""
    good = Tokens(key, **NAMES).issue("u-1")
    claims = {"sub": "u-1", "iss": "user-service", "aud": "syncline-shop", "exp": 4_000_000_000}
    foreign = SigningKey.in_folder(tmp_path / "foreign")
    pem = key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, _, signature = good.split(".")
    missing = {name: value for name, value in claims.items() if name != "exp"}
    named = {"kid": key.kid}
    secret = base64.urlsafe_b64encode(pem[:32]).decode()
    return {
        "another key": Tokens(foreign, **NAMES).issue("u-1"),
        "another key under our name": jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA", named),
        "another issuer": Tokens(key, **{**NAMES, "issuer": "else"}).issue("u-1"),
        "another audience": Tokens(key, **{**NAMES, "audience": "else"}).issue("u-1"),
        "no signature": f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}.",
        "public key as secret": f"{part({'alg': 'HS256'})}.{part(claims)}.{secret}",
        "changed claims": f"{head}.{part({**claims, 'sub': 'u-2'})}.{signature}",
        "never expires": jwt.encode(missing, key.private, "EdDSA", named),
        "expires in words": f"{head}.{part({**claims, 'exp': 'late'})}.{signature}",
        "cut off": good[:-4],
        "nonsense": "a.b.c",
        "empty parts": "..",
        "not ASCII": "ü",
    }


def test_what_only_looks_like_a_token_is_refused(key: SigningKey, tmp_path: Path) -> None:
    for why, token in forged(key, tmp_path).items():
        with pytest.raises(Problem) as caught:
            Tokens(key, **NAMES).check(f"Bearer {token}")
        assert caught.value.status == 401, why


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "token"])
def test_without_a_token_the_challenge_says_what_to_send(key: SigningKey, header: str) -> None:
    with pytest.raises(Problem) as caught:
        Tokens(key, **NAMES).check(header)
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")


async def test_passwords_are_argon2id_and_fit_their_column() -> None:
    passwords = Passwords()
    stored = await passwords.hash("p" * 128)
    assert stored.startswith("$argon2id$")
    assert len(stored) < 255
    assert stored != await passwords.hash("p" * 128)
    assert await passwords.check(stored, "p" * 128)
    assert not await passwords.check(stored, "p" * 127)


class CountingHasher(PasswordHasher):
    checks = 0

    def verify(self, *arguments: Any) -> Any:
        self.checks += 1
        return super().verify(*arguments)


async def test_an_unknown_user_costs_as_much_as_a_wrong_password() -> None:
    hasher = CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
    passwords = Passwords(hasher)
    stored = await passwords.hash("right")
    assert not await passwords.check(stored, "wrong")
    assert not await passwords.check(None, "wrong")
    assert not await passwords.check(None, "nobody has this password")
    assert hasher.checks == 3
    assert not await passwords.check("no hash", "wrong")
