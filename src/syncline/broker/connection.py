"""One client's connection: frames in, requests served one at a time and in order, answers out."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Any, Final, cast

from syncline.broker.endpoints import Endpoint
from syncline.broker.errors import UNSUPPORTED_VERSION
from syncline.broker.metrics import Metrics
from syncline.broker.sasl import AuthenticationFailed
from syncline.broker.wire import API_VERSIONS, Answer, Api, Context, Request, Unreadable, decode, encode, peek

log = logging.getLogger(__name__)

READ_BUFFER: Final = 64 * 1024
FIRST_GROWTH: Final = 256 * 1024
"""What a large frame is given on its word; the rest as its bytes come."""
TRUSTED: Final = 2 * 1024 * 1024
"""What a client that has sent as much before is given at once."""
MAX_PIPELINED: Final = 64
"""Requests read ahead on one connection before reading stops."""
MAX_WAITING: Final = 1024 * 1024
"""Bytes of such requests."""
HIGH_WATER: Final = 4 * 1024 * 1024
"""Bytes waiting to be sent on one connection before its requests wait too."""
SASL_HANDSHAKE: Final = 17
SASL_AUTHENTICATE: Final = 36
BEFORE_AUTHENTICATION: Final = frozenset({API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE})
LOOKS_LIKE_TLS: Final = 0x1603


class Connection(asyncio.BufferedProtocol):
    """One client; a slow reader slows only itself."""

    def __init__(self, broker: Any, apis: Mapping[int, Api], endpoint: Endpoint) -> None:
        self.host = ""
        self.listener = endpoint.listener.name
        self._broker = broker
        self._metrics: Metrics = broker.metrics
        self._apis = apis
        self._endpoint = endpoint
        self._session = endpoint.new_session()
        self._address = ("", 0)
        self._buffer = bytearray(READ_BUFFER)
        self._filled = 0
        self._usual = FIRST_GROWTH
        self._taken = 0
        """Bytes of request memory held for a frame that is coming in."""
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._held = False
        self._serving: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._loop = asyncio.get_running_loop()
        self._begun = 0.0
        self._active = self._loop.time()
        self._unsent = 0
        self._owed = 0
        """What the broker counts as unsent for this client."""

    # -- life -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._metrics.connections[self.listener] += 1
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.host = str(peer[0]) if peer else ""
        local = transport.get_extra_info("sockname")
        self._address = self._endpoint.address(str(local[0]) if local else "")
        # A client whose machine is gone is noticed by the kernel in the end.
        plain = transport.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._broker.connections.add(self)
        self._broker.admission.arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._broker.connections.discard(self)
        self._broker.admission.left(self)
        memory = self._broker.request_memory
        memory.forget(self)
        memory.give(self._taken + sum(len(frame) for frame in self._waiting if len(frame) > READ_BUFFER))
        self._taken = 0
        self._waiting.clear()
        self._buffer = bytearray()
        self._owe(0)
        self._may_write.set()
        if self._serving is not None:
            self._serving.cancel()

    def close(self) -> None:
        """Drop the client."""
        if self._transport is not None:
            self._transport.abort()

    def hold(self) -> None:
        """Read nothing until `go_on`."""
        self._held = True
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        self._held = False
        self._resume()

    def idle_since(self) -> float:
        """When the client was last active, by the loop's time; now, while the broker owes it an answer."""
        transport = self._transport
        if transport is None or (self._serving is not None and self._may_write.is_set()):
            return self._loop.time()
        unsent = transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._active = self._loop.time()
        self._unsent = unsent
        return self._active

    def _refuse(self, why: object) -> None:
        log.warning("client %s at %s: %s; closing its connection", self.host, self._endpoint, why)
        self.close()

    # -- reading --------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        self._active = self._loop.time()
        self._metrics.bytes_received += nbytes
        start, size = 0, 0
        most = self._endpoint.max_frame if self._session is None or self._session.open else self._endpoint.max_token
        view = memoryview(self._buffer)
        while self._filled - start >= 4:
            size = int.from_bytes(view[start : start + 4], "big", signed=True)
            if not 0 <= size <= most:
                self._refuse(_absurd(size, most))
                return
            if self._filled - start < 4 + size:
                break
            end = start + 4 + size
            if size > READ_BUFFER and end == len(self._buffer):
                # The buffer grew for this frame (see `_make_room`) and goes with it, so that it is not copied.
                self._take(view[start + 4 :].toreadonly())
                self._buffer, self._filled, start = bytearray(READ_BUFFER), 0, 0
                break
            self._take(bytes(view[start + 4 : end]))
            start = end
        del view
        self._shift(start)
        if self._filled >= 4:
            self._make_room(4 + size)
        if self._serving is None:
            self._serve()
        elif len(self._waiting) >= MAX_PIPELINED or self._waiting_bytes >= MAX_WAITING:
            self._pause()

    def _take(self, frame: bytes | memoryview) -> None:
        if len(frame) > READ_BUFFER:
            self._usual = max(self._usual, min(4 + len(frame), TRUSTED))
            # What came whole, behind another, was not asked for; it counts all the same.
            self._broker.request_memory.give(self._taken - len(frame))
            self._taken = 0
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)

    def _shift(self, start: int) -> None:
        if not start:
            return
        rest = self._filled - start
        if rest == 0 and len(self._buffer) > READ_BUFFER:
            self._buffer = bytearray(READ_BUFFER)
        else:
            self._buffer[:rest] = self._buffer[start : self._filled]
        self._filled = rest

    def _make_room(self, frame: int) -> None:
        """Let the buffer grow for a large frame, but not faster than it comes: its length may be a lie."""
        if frame <= len(self._buffer):
            return
        if not self._taken and frame - 4 > READ_BUFFER:
            if not self._broker.request_memory.take(frame - 4, self):
                self.hold()
                return
            self._taken = frame - 4
        if len(self._buffer) - self._filled < READ_BUFFER // 4:
            bigger = bytearray(min(frame, max(self._usual, 2 * len(self._buffer))))
            bigger[: self._filled] = self._buffer[: self._filled]
            self._buffer = bigger

    def _pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is None or self._held or self._transport.is_reading() or self._transport.is_closing():
            return
        if self._filled >= 4:
            self._make_room(4 + int.from_bytes(self._buffer[:4], "big", signed=True))
        if not self._held:
            self._transport.resume_reading()

    # -- serving --------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answer what can be answered at once; the first request that must wait goes on in a task."""
        while self._waiting:
            frame = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            try:
                again = self._begin(frame)
            except Unreadable as exc:
                self._refuse(exc)
                return
            except Exception:
                log.exception("request %s of client %s failed; closing its connection", _named(frame), self.host)
                self.close()
                return
            finally:
                if len(frame) > READ_BUFFER:
                    self._broker.request_memory.give(len(frame))
            if again is not None:
                self._serving = self._loop.create_task(again)
                return
        self._resume()

    def _begin(self, frame: bytes | memoryview) -> Any:
        """Handle one frame; a coroutine when the rest must wait."""
        session = self._session
        if session is not None and session.raw:
            return self._take_token(bytes(frame))
        api_key, version, correlation = peek(frame)
        if session is not None and not session.open and api_key not in BEFORE_AUTHENTICATION:
            why = "before it has authenticated" if session.user is None else "without authenticating again in time"
            raise Unreadable(f"asks for API {api_key} {why}")
        api = self._apis.get(api_key)
        if api is None or not api.lowest <= version <= api.highest:
            if api_key != API_VERSIONS:
                raise Unreadable(f"API {api_key} version {version} is not served")
            # A client that is too new learns from the v0 answer what to ask with (KIP-511).
            body = {"error_code": UNSUPPORTED_VERSION, **self._broker.api_versions()}
            self._send(encode(API_VERSIONS, 0, correlation, body))
            return None
        self._begun = self._loop.time()
        request = decode(frame)
        context = Context(api_key, version, request.client_id, self.host, self._address, session)
        answer = api.handler(self._broker, request.body, context)
        if session is not None and session.failed is not None:
            return self._turn_away(request, cast("Answer", answer))
        if api_key == SASL_AUTHENTICATE and session is not None and session.open:
            self._metrics.authentications[self.listener, "successful"] += 1
        if isinstance(answer, Mapping) or answer is None:
            self._answer(request, answer)
            return None if self._may_write.is_set() else self._later(request, None)
        return self._later(request, answer)

    async def _later(self, request: Request, answer: Awaitable[Answer] | None) -> None:
        try:
            if answer is not None:
                self._answer(request, await answer)
            await self._may_write.wait()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("request %s v%s failed", request.api_key, request.api_version)
            self.close()
            return
        finally:
            self._serving = None
        if self._transport is not None:
            self._serve()

    def _take_token(self, token: bytes) -> Any:
        """A bare token, as clients older than KIP-152 send it: an answer of the same kind, or the end."""
        session = self._session
        assert session is not None
        try:
            answer, _ = session.authenticate(token)
        except AuthenticationFailed:
            return self._turn_away(None, None)
        self._send(struct.pack(">i", len(answer)) + answer)
        if session.open:
            self._metrics.authentications[self.listener, "successful"] += 1
        return None

    async def _turn_away(self, request: Request | None, answer: Answer) -> None:
        """Tell the client why, not at once, so that guessing passwords is slow; then close."""
        assert self._session is not None
        log.warning("client %s at %s: %s", self.host, self._endpoint, self._session.failed)
        self._metrics.authentications[self.listener, "failed"] += 1
        self._pause()
        await asyncio.sleep(self._endpoint.failure_delay_s)
        if request is not None:
            self._answer(request, answer)
        if self._transport is not None:
            self._transport.close()

    # -- writing --------------------------------------------------------------------------------

    def _answer(self, request: Request, answer: Answer) -> None:
        if answer is not None:
            self._send(encode(request.api_key, request.api_version, request.correlation_id, answer))
        self._metrics.request(request.api_key, request.api_version, self._loop.time() - self._begun)

    def _send(self, frame: bytes | bytearray) -> None:
        if self._transport is not None:
            self._metrics.bytes_sent += len(frame)
            # Of a view the transport keeps what the socket did not take without copying it twice.
            self._transport.write(frame if len(frame) <= READ_BUFFER else memoryview(frame))

    def pause_writing(self) -> None:
        self._may_write.clear()
        if self._transport is not None:
            self._owe(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._active = self._loop.time()
        self._owe(0)
        self._may_write.set()

    def _owe(self, count: int) -> None:
        self._broker.unsent_bytes += count - self._owed
        self._owed = count


def _absurd(size: int, most: int) -> str:
    if size >> 16 == LOOKS_LIKE_TLS:
        return "it begins a TLS handshake; its security.protocol must be PLAINTEXT or SASL_PLAINTEXT here"
    return f"a request of {size} bytes, where at most {most} are taken"


def _named(frame: bytes | memoryview) -> str:
    api_key, version, _ = peek(frame)
    return f"{api_key} v{version}"
