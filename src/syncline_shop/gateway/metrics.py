"""What the gateway counts per service, beside what every service counts per request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from syncline.kit.clock import SYSTEM_CLOCK
from syncline.kit.http.breaker import Breaker, BreakerState
from syncline.kit.metrics import BUCKETS


class Call:
    """One request to a service."""

    def __init__(self) -> None:
        self.status = "none"

    def answered(self, status: int) -> None:
        """An instance answered with this status."""
        self.status = str(status)


class GatewayMetrics:
    """Calls to services as the gateway sees them; the time is until the head of the answer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._in_flight = Gauge("gateway_calls_in_flight", "Waiting for an instance.", ["service"], registry=registry)
        self._total = Counter(
            "gateway_calls", "By the instance's status, `none` for no answer.", ["service", "status"], registry=registry
        )
        self._seconds = Histogram(
            "gateway_call_duration_seconds",
            "Until the head of the answer, over all tries.",
            ["service"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._open = Gauge(
            "gateway_circuit_open", "1 while a service is left alone or being tried.", ["service"], registry=registry
        )

    @contextmanager
    def calling(self, service: str, breaker: Breaker) -> Iterator[Call]:
        """Counts what happens within as one call."""
        call = Call()
        began = SYSTEM_CLOCK.monotonic()
        with self._in_flight.labels(service).track_inprogress():
            try:
                yield call
            finally:
                self._seconds.labels(service).observe(SYSTEM_CLOCK.monotonic() - began)
                self._total.labels(service, call.status).inc()
                self._open.labels(service).set(breaker.state is not BreakerState.CLOSED)
