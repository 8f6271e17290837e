"""What a served version counts, for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from project.serving.request import Answer

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # upper bounds of a request's time
CONFIDENCES = tuple(tenth / 10 for tenth in range(1, 11))  # upper bounds


class Metrics:
    """The figures of one front. Confidences are counted by tenths: when the pictures change, they move first."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "handwriting_requests", "Requests, by path and HTTP status", ["path", "status"], registry=self.registry
        )
        self.seconds = self._histogram("handwriting_request_seconds", "Time from request to answer", SECONDS)
        self.pending = Gauge("handwriting_pending_requests", "Requests not answered yet", registry=self.registry)
        self.workers = Gauge("handwriting_workers", "Workers that are ready or reading", registry=self.registry)
        self.lost = Counter("handwriting_workers_lost", "Workers that crashed or timed out", registry=self.registry)
        self.lines = Counter("handwriting_lines", "Lines that were read", registry=self.registry)
        self.pages = Counter("handwriting_pages", "Pictures that were read as pages", registry=self.registry)
        self.confidence = self._histogram("handwriting_line_confidence", "Confidence of the lines", CONFIDENCES)
        self.version = Gauge(
            "handwriting_served_version", "1 for the version that is served", ["model", "version"],
            registry=self.registry,
        )  # fmt: skip

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, description, buckets=buckets, registry=self.registry)

    def count_answer(self, answer: Answer) -> None:
        """Count the lines and pages of an answer."""
        self.lines.inc(answer.lines)
        self.pages.inc(answer.pages)
        for confidence in answer.confidences:
            self.confidence.observe(confidence / 255)

    def set_version(self, model: str, version: str) -> None:
        """Say which version is served."""
        self.version.clear()
        self.version.labels(model, version).set(1)

    def exposition(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)
