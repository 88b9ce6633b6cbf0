"""Counts what the service does, in the text format of Prometheus. Decides nothing."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from eqr.engine import SolveServer

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
PATHS = ("/v1/solve", "/v1/solve/stream", "/v1/models", "/healthz", "/metrics")


class _Engine(Collector):
    """Reads the engine's own counts at each scrape."""

    def __init__(self, driver: SolveServer) -> None:
        self.driver = driver

    def collect(self) -> Iterator[Metric]:
        """The current counts."""
        driver = self.driver
        yield CounterMetricFamily("eqr_segments", "Segments of rows computed.", driver.segments)
        yield CounterMetricFamily("eqr_updates", "Updates of rows computed.", driver.updates)
        yield CounterMetricFamily("eqr_rows_ended", "Rows that have ended.", driver.ended)
        yield CounterMetricFamily("eqr_busy_seconds", "Seconds that the engine spent computing.", driver.busy)
        yield GaugeMetricFamily("eqr_rows_under_way", "Rows in slots.", driver.rows)
        yield GaugeMetricFamily("eqr_rows_parked", "Rows that have started and wait to continue.", driver.parked)
        yield GaugeMetricFamily("eqr_rows_waiting", "Rows that have not started: the queue.", driver.waiting)


class Metrics:
    """The counts of one service."""

    def __init__(self, driver: SolveServer) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # no extra series with creation times
        self.registry = CollectorRegistry()
        self.registry.register(_Engine(driver))
        self.requests = Counter("eqr_requests", "Requests.", ["path", "code"], registry=self.registry)
        self.puzzles = Counter("eqr_puzzles", "Puzzles answered.", ["model", "valid"], registry=self.registry)
        self.seconds = Histogram(
            "eqr_request_seconds", "Seconds of a request.", ["path"], buckets=BUCKETS, registry=self.registry
        )

    def done(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        page = path in ("/", "/docs") or path.startswith("/static/")
        path = path if path in PATHS else "page" if page else "other"
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All counts."""
        return generate_latest(self.registry)
