"""What a service counts, as Prometheus reads it at `GET /metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One registry per service, not per process: two services in one test count apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics(self.registry)
        self.router = APIRouter(tags=["metrics"])
        self.router.add_api_route("/metrics", self._page, include_in_schema=False)

    async def _page(self) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class RequestMetrics:
    """Requests as the service sees them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._in_flight = Gauge("http_requests_in_flight", "Requests being worked on.", registry=registry)
        self._total = Counter("http_requests", "Requests answered.", ["method", "status"], registry=registry)
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "From the head of the request to the end of the answer.",
            ["method"],
            buckets=BUCKETS,
            registry=registry,
        )

    def began(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def ended(self, method: str, status: int, seconds: float) -> None:
        """It has been answered, or given up."""
        # Anybody can invent methods, and each would be a series for ever.
        method = method if method in _METHODS else "other"
        self._in_flight.dec()
        self._total.labels(method, status).inc()
        self._seconds.labels(method).observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
