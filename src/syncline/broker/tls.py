"""TLS under a connection: Kafka's `ssl.*` keys, and a layer that says on both sides why a handshake failed.

asyncio's own layer drops the alert that tells the client what was wrong, and says nothing here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from syncline.broker.errors import BrokerError

log = logging.getLogger(__name__)

HANDSHAKE_RECORD: Final = 0x16
"""The first byte of every TLS conversation."""
PIECE: Final = 256 * 1024
"""Bytes encrypted at a time."""
PEM: Final = "PEM"

_CLIENT_AUTH: Final = {"none": ssl.CERT_NONE, "requested": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

_WHY: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it sent no certificate, and ssl.client.auth is required",
    "NO_SHARED_CIPHER": "it offers no cipher that is allowed here",
    "UNSUPPORTED_PROTOCOL": "it speaks none of the TLS versions allowed here",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks none of the TLS versions allowed here",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the certificate of this listener",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refuses the certificate of this listener (unknown issuer, host or expired)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses the certificate of this listener",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it refuses the certificate of this listener, which has expired",
}

Lookup = Callable[[str], str]
"""From one of Kafka's keys to its text, empty when not given; the listener's own value wins."""


def server_context(lookup: Lookup, where: str) -> ssl.SSLContext:
    """The context of a listener; BrokerError names the key that is missing or wrong. `where` says which listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    versions = [part.strip() for part in lookup("ssl.enabled.protocols").split(",") if part.strip()]
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if "TLSv1.2" in versions else ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3 if "TLSv1.3" in versions else ssl.TLSVersion.TLSv1_2
    for kind in ("ssl.keystore.type", "ssl.truststore.type"):
        if lookup(kind) not in ("", PEM):
            raise BrokerError(f"{where}: {kind}={lookup(kind)} cannot be read; convert the store to PEM")
    _load_own(context, lookup, where)
    _load_trusted(context, lookup, where)
    context.verify_mode = _CLIENT_AUTH[lookup("ssl.client.auth")]
    if context.verify_mode is not ssl.CERT_NONE and not context.get_ca_certs():
        raise BrokerError(
            f"{where}: ssl.client.auth={lookup('ssl.client.auth')} needs the issuers of the clients' certificates "
            "in ssl.truststore.location or ssl.truststore.certificates"
        )
    return context


def _load_own(context: ssl.SSLContext, lookup: Lookup, where: str) -> None:
    location, chain, key = (
        lookup("ssl.keystore.location"),
        lookup("ssl.keystore.certificate.chain"),
        lookup("ssl.keystore.key"),
    )
    password = lookup("ssl.key.password")
    if location:
        _readable(location, "ssl.keystore.location", where)
        _load_chain(context, location, password, f"{where}: ssl.keystore.location={location}")
        return
    if not chain or not key:
        raise BrokerError(
            f"{where}: a certificate and its key are needed: ssl.keystore.location names a PEM file with both, "
            "or ssl.keystore.certificate.chain and ssl.keystore.key hold them"
        )
    # OpenSSL reads files only; this one is private and gone before anybody connects.
    handle, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{key}\n{chain}\n")
        _load_chain(context, path, password, f"{where}: ssl.keystore.certificate.chain and ssl.keystore.key")
    finally:
        os.unlink(path)


def _load_chain(context: ssl.SSLContext, path: str, password: str, what: str) -> None:
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(path, password=lambda: password)
    except ssl.SSLError as exc:
        hint = "the key and the certificate do not belong together" if exc.reason == "KEY_VALUES_MISMATCH" else ""
        if not hint and b"ENCRYPTED" in Path(path).read_bytes():
            hint = (
                "ssl.key.password does not open the key" if password else "the key is encrypted: give ssl.key.password"
            )
        raise BrokerError(f"{what}: {hint or 'no PEM of a private key and its certificates'}") from exc


def _load_trusted(context: ssl.SSLContext, lookup: Lookup, where: str) -> None:
    location, certificates = lookup("ssl.truststore.location"), lookup("ssl.truststore.certificates")
    key = "ssl.truststore.location" if location else "ssl.truststore.certificates"
    try:
        if location:
            _readable(location, key, where)
            context.load_verify_locations(cafile=location)
        elif certificates:
            context.load_verify_locations(cadata=certificates)
    except ssl.SSLError as exc:
        raise BrokerError(f"{where}: {key}: no PEM certificates are there") from exc


def _readable(location: str, key: str, where: str) -> None:
    try:
        with open(location, "rb"):
            pass
    except OSError as exc:
        raise BrokerError(f"{where}: {key}={location}: {exc.strerror}") from exc


class TlsLayer(asyncio.Transport, asyncio.Protocol):
    """The protocol of a socket and the transport of the connection above it."""

    def __init__(self, context: ssl.SSLContext, above: asyncio.BufferedProtocol, where: str) -> None:
        super().__init__()
        self._above = above
        self._where = where
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._socket: asyncio.Transport | None = None
        self._host = ""
        self._shaken = False
        self._begun = False
        self._reading = True
        self._closing = False

    # -- what the socket says ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._host = str(peer[0]) if peer else ""
        self._above.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._begun:
            self._begun = True
            if data[0] != HANDSHAKE_RECORD:
                self._refuse("it does not speak TLS; its security.protocol must be SSL or SASL_SSL here")
                return
        self._incoming.write(data)
        if self._shaken or self._shake():
            self._deliver()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket = None
        self._above.connection_lost(exc)

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as exc:
            self._flush()  # the alert that tells the client
            self._refuse(_why(exc))
            return False
        self._flush()
        self._shaken = True
        return True

    def _deliver(self) -> None:
        """Hand up what can be decrypted, until the connection above wants no more."""
        while self._reading and not self._closing:
            room = cast("memoryview", self._above.get_buffer(-1))
            try:
                count = self._tls.read(len(room), cast("bytearray", room))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.close()
                break
            except ssl.SSLError as exc:
                # In TLS 1.3 a client that dislikes our certificate says so after its side of the handshake.
                self._refuse(_why(exc))
                break
            finally:
                del room
            if not count:
                self.close()
                break
            self._above.buffer_updated(int(count))
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._socket is not None:
            self._socket.write(self._outgoing.read())

    def _refuse(self, why: str) -> None:
        log.warning("client %s at %s: no TLS connection: %s", self._host, self._where, why)
        self._closing = True
        if self._socket is not None:
            self._socket.close()

    # -- what the connection above asks for -------------------------------------------------------

    def write(self, data: Any) -> None:
        view = memoryview(data)
        while view and not self._closing:
            sent = self._tls.write(view[:PIECE])
            view = view[sent:]
            self._flush()

    def pause_reading(self) -> None:
        self._reading = False
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        self._reading = True
        if self._socket is None or self._closing:
            return
        self._socket.resume_reading()
        if self._shaken:
            # Whole requests may stand decrypted already, with nothing more to come from the socket.
            asyncio.get_running_loop().call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closing or self._socket is None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._socket is not None:
            self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size() if self._socket is not None else 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.get_extra_info(name, default) if self._socket is not None else default

    def close(self) -> None:
        if self._closing or self._socket is None:
            return
        self._closing = True
        if self._shaken:
            with contextlib.suppress(ssl.SSLError):  # the client's half of the farewell is not waited for
                self._tls.unwrap()
            self._flush()
        self._socket.close()

    def abort(self) -> None:
        self._closing = True
        if self._socket is not None:
            self._socket.abort()


def _why(exc: ssl.SSLError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {exc.verify_message}"
    return _WHY.get(exc.reason or "", (exc.reason or str(exc)).lower().replace("_", " "))
