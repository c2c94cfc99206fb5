"""Observers that turn cycle reports into Prometheus metrics and OpenTelemetry spans and counters.

    JobLoop(queue, handler, observers=[PrometheusObserver(registry), OpenTelemetryObserver()])

Both libraries are optional: each is imported when its observer is made (`pip install jobloop[metrics]`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from jobloop.report import CycleReport

#: What can become of a claimed row; the values of the label or attribute "outcome".
OUTCOMES = ("completed", "retried", "failed", "snoozed", "released", "superseded", "lost")
_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900)
_SECONDS_PER_ROW = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class PrometheusObserver:
    """Counts cycles in `registry`, labelled by queue; one observer serves any number of queues.

    jobloop_cycles_total            cycles, by result: ok, or deadline when one was cut short
    jobloop_batches_total           claims that brought rows
    jobloop_rows_total              rows by outcome
    jobloop_rescued_rows_total      rows of lost workers, by result: queued or poison
    jobloop_cycle_seconds           duration of cycles that claimed anything
    jobloop_row_seconds             wall seconds per row of such a cycle
    jobloop_success_ratio, jobloop_retry_ratio    of the last such cycle, 0 to 1
    jobloop_max_lag_seconds         of the last such cycle: the longest that something blocked the event loop
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"jobloop_{name}", words, ("queue", *labels), registry=registry)

        self._cycles = counter("cycles", "Cycles run.", "result")
        self._batches = counter("batches", "Claims that brought rows.")
        self._rows = counter("rows", "Rows that were claimed, by what became of them.", "outcome")
        self._rescued = counter("rescued_rows", "Rows taken back from lost workers.", "result")
        self._seconds = Histogram(
            "jobloop_cycle_seconds",
            "Duration of cycles that claimed rows.",
            ("queue",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._row_seconds = Histogram(
            "jobloop_row_seconds",
            "Wall seconds per row of a cycle.",
            ("queue",),
            buckets=_SECONDS_PER_ROW,
            registry=registry,
        )
        self._success, self._retry, self._lag = (
            Gauge(f"jobloop_{name}", words, ("queue",), registry=registry)
            for name, words in (
                ("success_ratio", "Completed rows of the last cycle with rows."),
                ("retry_ratio", "Rows to try again of the last cycle with rows."),
                ("max_lag_seconds", "Longest block of the event loop in the last cycle with rows."),
            )
        )

    def __call__(self, report: CycleReport) -> None:
        queue = report.queue
        self._cycles.labels(queue, "deadline" if report.hit_deadline else "ok").inc()
        self._rescued.labels(queue, "queued").inc(report.rescued)
        self._rescued.labels(queue, "poison").inc(report.poison)
        self._batches.labels(queue).inc(report.batches)
        for outcome in OUTCOMES:
            self._rows.labels(queue, outcome).inc(getattr(report, outcome))
        if report.processed:
            self._seconds.labels(queue).observe(report.duration_seconds)
            self._row_seconds.labels(queue).observe(report.seconds_per_row)
            self._success.labels(queue).set(report.success_rate)
            self._retry.labels(queue).set(report.retry_rate)
            self._lag.labels(queue).set(report.max_lag_seconds)


class OpenTelemetryObserver:
    """A span "jobloop cycle" for each cycle that did something, and counters; None: the global providers.

    Without an SDK installed and configured these calls do nothing, at next to no cost.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        from opentelemetry import metrics, trace

        self._tracer = trace.get_tracer("jobloop", tracer_provider=tracer_provider)
        meter = metrics.get_meter("jobloop", meter_provider=meter_provider)
        self._rows = meter.create_counter("jobloop.rows", "{row}", "Claimed rows, by what became of them.")
        self._duration = meter.create_histogram("jobloop.cycle.duration", "s", "Duration of cycles with rows.")

    def __call__(self, report: CycleReport) -> None:
        if not (report.claimed or report.rescued or report.poison):
            return
        ended_at_ns = time.time_ns()
        attributes: dict[str, Any] = {
            f"jobloop.{name}": value for name, value in report.as_dict().items() if isinstance(value, str | int | float)
        }
        span = self._tracer.start_span(
            "jobloop cycle",
            start_time=ended_at_ns - int(report.duration_seconds * 1e9),
            attributes=attributes,
        )
        span.end(ended_at_ns)
        for outcome in OUTCOMES:
            if count := getattr(report, outcome):
                self._rows.add(count, {"jobloop.queue": report.queue, "jobloop.outcome": outcome})
        self._duration.record(report.duration_seconds, {"jobloop.queue": report.queue})
