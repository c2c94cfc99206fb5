"""What is inferred about HubSpot, each a switch whose default is the reading that forgives a client least."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STANDING_LAG_SECONDS", "Behaviour"]

STANDING_LAG_SECONDS = 2.0
"""The search lag of an emulator that a person starts as a program."""


@dataclass(slots=True)
class Behaviour:
    """Switches of one emulator. `[I]` inferred, `[C]` community report, `[O]` observed in recorded traffic."""

    search_lag_seconds: float = 0.0
    """[O] Seconds until a write can be found by search (up to about 30 on the real service). The one default that
    forgives: zero in a test, where a race with a clock is of no use. What `serve` starts has STANDING_LAG_SECONDS."""

    conflict_fails_batch: bool = True
    """[C] One conflict fails the whole batch with 409, even when every input carries a trace id."""

    email_upsert_may_be_partial: bool = True
    """[O] Trace ids make an upsert by e-mail partial. False is the strict reading of the documented sentence
    "partial upserts are not supported when using email"."""

    trace_ids_supported: bool = True
    """[D] for create, [O] for upsert. False: one invalid input always fails its batch."""

    shuffle_batch_results: bool = True
    """[O] Results of a batch come in another order than its inputs."""

    accept_json_scalars: bool = False
    """[I] Numbers and booleans as property values are taken for their strings. False: 400."""

    equal_write_bumps_modified: bool = True
    """[I] Writing a value that is already there moves the modified date."""

    search_counts_to_burst: bool = True
    """[I] A search is taken from the burst bucket as well as from the search bucket."""

    conflict_names_existing_id: bool = True
    """[O] `Existing ID: 123` in a 409. A best-effort hint; False leaves it out."""

    duplicate_records_fail_batch: bool = True
    """[I] Two inputs that lead to one record by different keys, such as its first and its secondary e-mail, are
    duplicates: 400 for all. False: both are written, the later one last."""

    upsert_takes_one_id_property: bool = True
    """[I] All inputs of an upsert name the same `idProperty`. False: each may name its own."""

    archive_missing_is_silent: bool = True
    """[C] Archiving one record that is not there answers 204, and so hides a wrong id. False: 404."""

    gdpr_delete_missing_is_silent: bool = False
    """[I] A gdpr-delete by an id that is not there answers 204. False: 404. By e-mail it is always 204 [D]."""

    negations_match_missing: bool = False
    """[I] NEQ, NOT_IN and NOT_CONTAINS_TOKEN find records without a value, too. False: only NOT_HAS_PROPERTY does."""

    account_info_is_counted: bool = True
    """[I] Calls for account details and usage are taken from the burst and the daily limit, and refused when one is
    spent. False: they cost nothing and always answer."""

    refused_calls_are_counted: bool = True
    """[I] A call that a ten-second or one-second limit refused fills its window as well, so that knocking without a
    pause is refused for ever. False: only answered calls count."""

    promoted_email_keeps_former: bool = False
    """[I] When a secondary e-mail is written as the first one, the former first one becomes a secondary one. False: it
    is replaced, as by any other e-mail, and finds the contact no more."""

    association_ids_are_numbers: bool = False
    """[C] `toObjectId` and `fromObjectId` come as JSON numbers under v4 paths. False: as text, as both official
    clients declare. Dated paths always answer text."""

    event_offset_lives_seconds: float = 300.0
    """[I] So long an offset of e-mail events is taken, afterwards it is a 400: it is documented to be short-lived, and
    not how short. 0: for ever."""

    first_company_is_primary: bool = True
    """[C] The first company of a contact, deal or ticket gets the primary type as well as the unlabelled one."""

    merge_creates_record: bool = False
    """[C] A merge of anything but contacts retires both ids and makes a new record."""

    search_body_limit_characters: int = 3_000
    """[D] A longer search request is refused. 0: no limit."""

    legacy_paths: bool = True
    """[D] v1 to v4 paths answer (they lose support in 2027). False: 404, only dated paths remain."""

    silent_loss_every: int = 0
    """[O] Every n-th batch write applies, but answers with one result too few. 0: never."""

    first_record_id: int = 951
    """[I] First record id of each object type: low, and about to gain a digit, so that ids that are compared
    as strings, or keyed without their object type, show themselves."""
