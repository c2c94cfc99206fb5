"""Cycle reports become Prometheus samples and OpenTelemetry spans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics, trace
from prometheus_client import CollectorRegistry

from jobloop import CycleReport
from jobloop.metrics import OUTCOMES, OpenTelemetryObserver, PrometheusObserver


def report(**counts: int) -> CycleReport:
    made = CycleReport("orders", **counts)
    made.duration_seconds = 2.0
    return made


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_every_outcome_is_counted_and_the_rates_are_those_of_the_last_cycle_with_rows() -> None:
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    observe(report(claimed=10, completed=5, retried=3, failed=2, batches=2, rescued=1))
    observe(report(claimed=4, completed=4, batches=1))
    observe(report())
    seen = samples(registry)
    assert seen["jobloop_rows_total", "completed", "orders"] == 9
    assert seen["jobloop_rows_total", "orders", "retried"] == 3
    assert {outcome for outcome in OUTCOMES if ("jobloop_rows_total", *sorted((outcome, "orders"))) in seen} == set(
        OUTCOMES
    )
    assert seen["jobloop_cycles_total", "ok", "orders"] == 3
    assert seen["jobloop_batches_total", "orders"] == 3
    assert seen["jobloop_rescued_rows_total", "orders", "queued"] == 1
    assert seen["jobloop_cycle_seconds_count", "orders"] == 2
    assert seen["jobloop_cycle_seconds_sum", "orders"] == 4
    assert seen["jobloop_row_seconds_sum", "orders"] == 0.2 + 0.5
    assert seen["jobloop_success_ratio", "orders"] == 1
    assert seen["jobloop_retry_ratio", "orders"] == 0
    assert seen["jobloop_max_lag_seconds", "orders"] == 0


def test_a_cycle_that_hit_its_deadline_is_told_apart() -> None:
    registry = CollectorRegistry()
    late = report(claimed=1, failed=1)
    late.hit_deadline = True
    PrometheusObserver(registry)(late)
    assert samples(registry)["jobloop_cycles_total", "deadline", "orders"] == 1


def test_without_an_sdk_the_open_telemetry_observer_does_nothing() -> None:
    OpenTelemetryObserver()(report(claimed=1, completed=1))


def test_a_cycle_becomes_a_span_of_its_duration_and_an_idle_one_none() -> None:
    tracer = Recorder()
    observe = OpenTelemetryObserver(TracerProvider(tracer), metrics.NoOpMeterProvider())
    observe(report())
    observe(report(claimed=3, completed=2, retried=1))
    (span,) = tracer.spans
    assert span["name"] == "jobloop cycle"
    assert span["ended_ns"] - span["started_ns"] == 2_000_000_000
    assert span["attributes"]["jobloop.queue"] == "orders"
    assert span["attributes"]["jobloop.completed"] == 2


class Recorder(trace.Tracer):
    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    def start_span(self, name: str, *args: Any, **options: Any) -> trace.Span:
        said = {"name": name, "started_ns": options["start_time"], "attributes": options["attributes"]}
        self.spans.append(said)
        return RecordedSpan(said)

    @contextmanager
    def start_as_current_span(self, name: str, *args: Any, **options: Any) -> Iterator[trace.Span]:
        yield self.start_span(name, **options)


class RecordedSpan(trace.NonRecordingSpan):
    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.said = said

    def end(self, end_time: int | None = None) -> None:
        self.said["ended_ns"] = end_time


class TracerProvider(trace.TracerProvider):
    def __init__(self, tracer: Recorder) -> None:
        self.tracer = tracer

    def get_tracer(self, *args: Any, **options: Any) -> trace.Tracer:
        return self.tracer
