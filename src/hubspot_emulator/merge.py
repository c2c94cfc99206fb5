"""Merging two records, and deleting one for good."""

from __future__ import annotations

from .catalogue import LIFECYCLE_STAGES
from .portal import Portal
from .problems import BadRequest, NotFound
from .record import Record
from .table import Table

__all__ = ["gdpr_delete", "merge"]


def merge(portal: Portal, table: Table, primary_id: str, merged_id: str) -> Record:
    """The record that is left: the primary one, or, with `merge_creates_record`, a new one.

    Its values win, gaps are filled from the merged record, whose e-mail becomes a secondary one and whose
    associations move over. The merged id then leads to this record in single calls, and nowhere in batches [D].
    """
    primary = portal.find(table, primary_id)
    other = portal.find(table, merged_id)
    if primary is None or other is None:
        raise NotFound("resource not found", ids=[primary_id if primary is None else merged_id])
    if primary is other:
        raise BadRequest("Cannot merge a record with itself")
    table.version += 1
    now_ms = portal.clock.now_ms()
    before = portal.index.snapshot(primary)
    gaps = {name: value for name, value in other.properties.items() if name not in primary.properties}
    gaps.update(_furthest_stage(primary, other))
    if emails := _secondary_emails(table, primary, other):
        gaps["hs_additional_emails"] = ";".join(emails)
    _retire(portal, table, other, primary.id)
    table.release(primary)
    primary.write(gaps, now_ms)
    primary.merged_ids = (*primary.merged_ids, *other.merged_ids, other.id)
    if portal.behaviour.merge_creates_record and not table.type.has_email:
        primary = _as_new_record(portal, table, primary)
    table.hold(primary)
    portal.index.written(table, primary, before if before is not None and before.id == primary.id else None)
    return primary


def _retire(portal: Portal, table: Table, record: Record, into: int) -> None:
    portal.relations.store.move(table.type.type_id, record.id, into)
    portal.index.forget(table, record)
    table.remove(record)
    table.merged[record.id] = into


def _as_new_record(portal: Portal, table: Table, old: Record) -> Record:
    properties, created_ms = dict(old.properties), old.created_ms
    table.release(old)
    record = table.add(properties, portal.clock.now_ms())
    record.created_ms = created_ms
    record.merged_ids = (*old.merged_ids, old.id)
    record.history = old.history
    _retire(portal, table, old, record.id)
    table.hold(record)
    return record


def _furthest_stage(primary: Record, other: Record) -> dict[str, str]:
    stages = [one.properties.get("lifecyclestage") for one in (primary, other)]
    known = [stage for stage in stages if stage in LIFECYCLE_STAGES]
    return {"lifecyclestage": max(known, key=LIFECYCLE_STAGES.index)} if known else {}


def _secondary_emails(table: Table, primary: Record, other: Record) -> list[str]:
    if not table.type.has_email:
        return []
    own = primary.properties.get("email") or other.properties.get("email")
    listed = [
        *(primary.properties.get("hs_additional_emails") or "").split(";"),
        other.properties.get("email", ""),
        *(other.properties.get("hs_additional_emails") or "").split(";"),
    ]
    return [email for email in dict.fromkeys(listed) if email and email != own]


def gdpr_delete(portal: Portal, table: Table, id_: str, id_property: str | None) -> None:
    """Gone at once and for good, without a trace in the archive; an unknown e-mail is no error [D].

    Raises NotFound for an id that is not there, unless `gdpr_delete_missing_is_silent`."""
    record = portal.find(table, id_, id_property=id_property) or portal.find(table, id_, archived=True)
    if record is not None:
        portal.purge(table, record)
    elif id_property is None and not portal.behaviour.gdpr_delete_missing_is_silent:
        raise NotFound("resource not found", ids=[id_])
