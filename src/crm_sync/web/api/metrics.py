"""/metrics for Prometheus: cycles as they end, queue depths as they are at the scrape, calls to HubSpot."""

import asyncio
from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from crm_sync.errors import DatabaseError
from crm_sync.operate import QueueStatus, queue_status
from crm_sync.web.room import Room, RoomDep

router = APIRouter(tags=["metrics"])

_SCRAPE_WITHIN_SECONDS = 3.0
_STATES = ("due", "waiting", "processing", "expired", "complete", "error")


def register(room: Room) -> None:
    """Add what this module collects to the application's registry."""
    ProcessCollector(registry=room.registry)
    room.registry.register(HubSpotCalls(room))


@router.get("/metrics", response_class=Response)
async def metrics(room: RoomDep) -> Response:
    """Prometheus' text format. A database that does not answer costs the queue depths only."""
    statuses: list[QueueStatus] = []
    is_up = True
    try:
        async with asyncio.timeout(_SCRAPE_WITHIN_SECONDS):
            for queue in room.runtime.queues.values():
                statuses.append(await queue_status(room.runtime.engine, queue))  # noqa: PERF401
    except (DatabaseError, TimeoutError):
        is_up = False
    depths = CollectorRegistry()
    depths.register(QueueDepths(statuses, is_up))
    return Response(generate_latest(room.registry) + generate_latest(depths), media_type=CONTENT_TYPE_LATEST)


class QueueDepths(Collector):
    """The counts of one scrape."""

    def __init__(self, statuses: list[QueueStatus], is_up: bool) -> None:
        self._statuses = statuses
        self._is_up = is_up

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("crm_sync_database_up", "1 when the database answered this scrape.", value=self._is_up)
        rows = GaugeMetricFamily("jobloop_queue_rows", "Rows by state, now.", labels=("queue", "state"))
        oldest = GaugeMetricFamily(
            "jobloop_queue_oldest_due_seconds", "Age of the longest waiting due row; 0 when none is.", labels=("queue",)
        )
        for status in self._statuses:
            for state in _STATES:
                rows.add_metric((status.queue, state), getattr(status, state))
            oldest.add_metric((status.queue,), status.oldest_due_seconds or 0.0)
        yield rows
        yield oldest


class HubSpotCalls(Collector):
    """Calls sent by this process, by operation and by status."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def collect(self) -> Iterator[Metric]:
        counts = self._room.runtime.clients.counts
        by_operation = CounterMetricFamily("hubspot_calls", "Calls sent, repeats included.", labels=("operation",))
        for operation, number in counts.by_operation.items():
            by_operation.add_metric((operation,), number)
        yield by_operation
        answers = CounterMetricFamily("hubspot_answers", "Answers by status or failure.", labels=("status",))
        for status, number in counts.by_status.items():
            answers.add_metric((status,), number)
        yield answers
        yield CounterMetricFamily("hubspot_calls_repeated", "Calls sent again after a fault.", value=counts.repeated)
