"""What a server counts, in Prometheus' text form."""

from __future__ import annotations

from typing import Any

from caffe.serving.settings import Served

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counters of one server; each server has its own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        model = ("model", "version")
        self.requests = Counter(
            "caffe_requests", "Requests, by model and HTTP status", (*model, "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "caffe_request_seconds",
            "From a request to its answer",
            model,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.compute = Histogram(
            "caffe_batch_seconds",
            "A batch's time in the worker",
            model,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "caffe_batch_items",
            "Items in a batch",
            model,
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.queue = Gauge("caffe_queue", "Requests that wait", model, registry=self.registry)
        self.workers = Gauge("caffe_workers", "Workers that are ready", model, registry=self.registry)
        self.restarts = Gauge(
            "caffe_worker_restarts", "Workers that died and were replaced", model, registry=self.registry
        )

    def batch_done(self, served: Served, requests: int, items: int, seconds: float) -> None:
        """Count a batch."""
        self.compute.labels(served.name, served.version).observe(seconds)
        self.batch.labels(served.name, served.version).observe(items)

    def answered(self, name: str, version: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(name, version, str(status)).inc()
        self.seconds.labels(name, version).observe(seconds)

    def text(self, pools: Any) -> bytes:
        """All counters, with the pools' present state."""
        from prometheus_client import generate_latest

        for pool in pools:
            place = (pool.served.name, pool.served.version)
            self.queue.labels(*place).set(pool.waiting)
            self.workers.labels(*place).set(pool.alive)
            self.restarts.labels(*place).set(pool.restarts)
        return bytes(generate_latest(self.registry))
