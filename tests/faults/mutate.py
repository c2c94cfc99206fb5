"""Removes each guard of the queue in turn and shows that a test goes red: `python -m tests.faults.mutate [WORDS]`.

Every mutation is applied to a copy of the sources; nothing here is touched. WORDS pick the mutations whose line in the
table contains one of them. Prints a table as Markdown; the exit status is 1 if a mutant survived, and a mutation whose
text is no longer in the source is an error: the list must keep up with the code.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults.server import PrivateServer

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
HANGS_AFTER_SECONDS = 240
BATCH_SESSION = "tests/jobloop/test_batch_session.py"
#: What a mutant meets after its own tests, until one of them goes red.
QUICK = (
    "tests/jobloop/test_ownership.py",
    "tests/faults/test_state_machine.py",
    "tests/jobloop/test_loop.py",
    "tests/jobloop/test_operating.py",
    "tests/jobloop/test_locks.py",
    "tests/jobloop/test_pausing.py",
    "tests/jobloop/test_interruption.py",
    BATCH_SESSION,
    "tests/jobloop/test_plans.py",
)
WORKING, PARTS = "statements/working.py", "statements/parts.py"
OPERATING, PAUSING = "statements/operating.py", "statements/pausing.py"


@dataclass(frozen=True)
class Mutation:
    """`text` in src/jobloop/`file` becomes `replacement`. `tests` are tried first."""

    guard: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...] = ()


MUTATIONS = (
    Mutation(
        "claim: only Queued rows",
        WORKING,
        "        c.status == queue.literal(Role.QUEUED),\n        due_at <= NOW,",
        "        due_at <= NOW,",
        ("tests/faults/test_state_machine.py::test_only_queued_rows_are_claimed",),
    ),
    Mutation("claim: only rows that are due", WORKING, "        due_at <= NOW,\n", ""),
    Mutation(
        "claim: no row with a live claim",
        WORKING,
        "        sa.or_(c.claim_token.is_(None), c.lease_expires_at < NOW),\n",
        "",
    ),
    Mutation(
        "claim: a re-queued row whose worker died, when its lease ends",
        WORKING,
        "sa.or_(c.claim_token.is_(None), c.lease_expires_at < NOW)",
        "c.claim_token.is_(None)",
    ),
    Mutation("claim: only rows that the filters let through", WORKING, "        *queue.filters,\n", ""),
    Mutation(
        "claim: nothing while the queue is paused",
        WORKING,
        "if queue.pauses is not None and not although_paused:",
        "if False:",
    ),
    Mutation(
        "claim: SKIP LOCKED",
        WORKING,
        ".with_for_update(skip_locked=True, key_share=True, of=queue.table)\n        )",
        ".with_for_update(key_share=True, of=queue.table)\n        )",
    ),
    Mutation(
        "claim: FOR NO KEY UPDATE",
        WORKING,
        ".with_for_update(skip_locked=True, key_share=True, of=queue.table)\n        )",
        ".with_for_update(skip_locked=True, of=queue.table)\n        )",
        ("tests/jobloop/test_neighbours.py",),
    ),
    Mutation(
        "claim: a fresh request starts at retry_count 0",
        WORKING,
        "                c.retry_count: sa.case((fresh, 0), else_=c.retry_count),\n",
        "",
    ),
    Mutation(
        "claim: a retry keeps its retry_count", WORKING, "sa.case((fresh, 0), else_=c.retry_count)", "sa.literal(0)"
    ),
    Mutation(
        "claim: a fresh request starts at rescue_count 0",
        WORKING,
        "                c.rescue_count: sa.case((fresh, 0), else_=c.rescue_count),\n",
        "",
    ),
    Mutation(
        "claim: next_retry_at is cleared",
        WORKING,
        "                c.next_retry_at: sa.null(),\n                c.retry_count",
        "                c.retry_count",
    ),
    Mutation(
        "claim: no more than the batch",
        WORKING,
        '        .limit(sa.bindparam("batch_size", type_=sa.Integer()))\n        .cte("picked")',
        '        .cte("picked")',
    ),
    Mutation(
        "claim: no row twice, as a due retry and again",
        WORKING,
        'locked("batch_size", already.not_in(sa.select(*list(retries.c)[: len(c.key)])))',
        'locked("batch_size")',
    ),
    Mutation(
        "claim: a place is one partition's",
        WORKING,
        "if by_place else []), same_key(c.key, picked))",
        "if by_place else [same_key(c.key, picked)]))",
        ("tests/jobloop/test_neighbours.py",),
    ),
    Mutation(
        "claim: by key where a row's place is not to be read",
        "store.py",
        "if not self._goes_by_place or not hides_column(exc):",
        "if True:",
        ("tests/jobloop/test_neighbours.py",),
    ),
    Mutation(
        "claim: a share for due retries",
        WORKING,
        'locked("retry_share", due_at > NEVER)',
        'locked("retry_share", sa.false())',
    ),
    Mutation(
        "claim: in the queue's order",
        WORKING,
        ".order_by(due_at, *queue.order_by)",
        ".order_by(due_at, *c.key)",
    ),
    Mutation(
        "claim: fresh rows before due retries",
        WORKING,
        ".order_by(due_at, *queue.order_by)",
        ".order_by(*queue.order_by)",
    ),
    Mutation(
        "settle: only with the claim's token",
        WORKING,
        '.where(ours, c.claim_token == answer["token"])',
        ".where(ours)",
    ),
    Mutation(
        "settle: plain completions of one claim only with its token",
        WORKING,
        '"token": sa.bindparam("token", type_=sa.Uuid())}',
        '"token": sa.func.coalesce(queue.columns.claim_token, sa.bindparam("token", type_=sa.Uuid()))}',
    ),
    Mutation(
        "settle: one row only with its claim's token",
        WORKING,
        "said_alone(queue, **_settled_types(to)))",
        'said_alone(queue, **_settled_types(to)) | {"token": sa.func.coalesce(queue.columns.claim_token, '
        'sa.bindparam("token", type_=sa.Uuid()))})',
        (BATCH_SESSION,),
    ),
    Mutation(
        "settle: one token for many rows only if one claim made them",
        "arrays.py",
        "return None if [claim for claim, _ in some if claim.token is not token] else token",
        "return token",
    ),
    Mutation(
        "settle: values that go alone are a transaction of their own each, and told so",
        "settler.py",
        "for alike in self._store.together(some):",
        "for alike in [some]:",
        ("tests/jobloop/test_values.py",),
    ),
    Mutation("settle: a lost claim is told", "settles.py", "self.lost.add(claim)", "pass"),
    Mutation("settle: a user's word is told", "settles.py", "self.kept[claim] = role", "pass"),
    Mutation(
        "settle: the user's word is kept",
        WORKING,
        "return sa.case((is_ours, value), else_=column)",
        "return sa.type_coerce(value, column.type)",
    ),
    Mutation(
        "settle: NULL is the user's word too",
        WORKING,
        "return sa.case((is_ours, value), else_=column)",
        "return sa.case((~is_ours, column), else_=value)",
    ),
    Mutation(
        "settle: the token is given up",
        WORKING,
        "        c.claim_token: sa.null(),\n        c.lease_expires_at: sa.null(),\n        **{",
        "        c.lease_expires_at: sa.null(),\n        **{",
    ),
    Mutation(
        "settle: the lease is given up",
        WORKING,
        "        c.claim_token: sa.null(),\n        c.lease_expires_at: sa.null(),\n        **{",
        "        c.claim_token: sa.null(),\n        **{",
    ),
    Mutation(
        "settle: no attempt is counted against a row that a user re-queued",
        WORKING,
        'sa.case((is_ours, answer["counted"]), else_=0)',
        'answer["counted"]',
        ("tests/jobloop/test_older_loop.py",),
    ),
    Mutation(
        "settle: Complete clears the error",
        WORKING,
        "changes[c.error] = unless_kept(c.error, sa.null())",
        "pass",
    ),
    Mutation(
        "settle: a snooze without an error keeps the earlier one",
        WORKING,
        'sa.func.coalesce(cut_to(c.error, answer["error"]), c.error)',
        'cut_to(c.error, answer["error"])',
    ),
    Mutation(
        "settle: an absolute time is kept",
        WORKING,
        'sa.func.coalesce(answer["until"], CLOCK + seconds(answer["delay_seconds"]))',
        'CLOCK + seconds(sa.func.coalesce(answer["delay_seconds"], 0.0))',
    ),
    Mutation(
        "settle: the decision follows",
        WORKING,
        "changes[c.decision] = unless_kept(c.decision, queue.literal(to, c.decision))",
        "pass",
    ),
    Mutation(
        "settle: locks in primary-key order, but for rows of one claim",
        WORKING,
        '.order_by(*(given.c[f"key_{i}"] for i in range(len(key)))).subquery("answers")',
        '.subquery("answers")',
    ),
    Mutation(
        "renew: only with the claim's token",
        WORKING,
        "mine = sa.and_(same_key(c.key, claims), c.claim_token == claims.c.token)",
        "mine = same_key(c.key, claims)",
    ),
    Mutation(
        "renew: no waiting for a locked row",
        WORKING,
        ".with_for_update(key_share=True, skip_locked=True, of=queue.table)",
        ".with_for_update(key_share=True, of=queue.table)",
    ),
    Mutation(
        "renew: a row of which it lost an earlier claim is told apart",
        "store.py",
        "{claim for claim in claims if (claim.key, claim.token) in held}",
        "{claim for claim in claims if claim.key in {key for key, _ in held}}",
    ),
    Mutation(
        "rescue: only expired leases",
        WORKING,
        "c.status == queue.literal(Role.PROCESSING), c.lease_expires_at < NOW)",
        "c.status == queue.literal(Role.PROCESSING))",
    ),
    Mutation(
        "rescue: only Processing rows",
        WORKING,
        "c.status == queue.literal(Role.PROCESSING), c.lease_expires_at < NOW)",
        "c.lease_expires_at < NOW)",
    ),
    Mutation(
        "rescue: SKIP LOCKED",
        WORKING,
        '.with_for_update(skip_locked=True, key_share=True, of=queue.table)\n        .cte("dead")',
        '.with_for_update(key_share=True, of=queue.table)\n        .cte("dead")',
    ),
    Mutation("rescue: poison after max_rescues", WORKING, "is_poison = lost >= sa", "is_poison = lost > sa"),
    Mutation("rescue: the lost worker is counted", WORKING, "        c.rescue_count: lost,\n", ""),
    Mutation("rescue: no fresh request", WORKING, "sa.case((is_poison, sa.null()), else_=CLOCK)", "sa.null()"),
    Mutation(
        "rescue: the dead worker's token is taken away",
        WORKING,
        "        c.rescue_count: lost,\n        c.claim_token: sa.null(),\n        c.lease_expires_at: sa.null(),\n",
        "        c.rescue_count: lost,\n        c.lease_expires_at: sa.null(),\n",
    ),
    Mutation(
        "rescue: the decision follows a poison row",
        WORKING,
        "changes[c.decision] = sa.case((is_poison",
        "_ = sa.case((is_poison",
    ),
    Mutation(
        "every update: columns with an onupdate stay",
        PARTS,
        "if (column.onupdate is not None or _BINDS.fullmatch(column.key)) and column not in changes",
        "if _BINDS.fullmatch(column.key) and column not in changes",
    ),
    Mutation("every predicate: a STABLE clock", PARTS, "NOW = sa.func.statement_timestamp()", "NOW = CLOCK_NOW()"),
    Mutation(
        "requeue: only rows in Error",
        OPERATING,
        "sa.and_(queue.columns.status == queue.literal(Role.ERROR), *where),",
        "sa.and_(sa.true(), *where),",
    ),
    Mutation(
        "requeue: as a fresh request",
        OPERATING,
        "{queue.columns.status: queue.literal(Role.QUEUED), queue.columns.next_retry_at: sa.null()},",
        "{queue.columns.status: queue.literal(Role.QUEUED), queue.columns.next_retry_at: CLOCK},",
    ),
    Mutation(
        "retry now: only Queued rows",
        OPERATING,
        "sa.and_(c.status == queue.literal(Role.QUEUED), c.next_retry_at > NOW, *where)",
        "sa.and_(c.next_retry_at > NOW, *where)",
    ),
    Mutation(
        "retry now: only rows that wait",
        OPERATING,
        "c.status == queue.literal(Role.QUEUED), c.next_retry_at > NOW, *where",
        "c.status == queue.literal(Role.QUEUED), *where",
    ),
    Mutation(
        "cancel: only Queued rows",
        OPERATING,
        "        sa.and_(c.status == queue.literal(Role.QUEUED), *where),\n        {c.status: sa.bindparam",
        "        sa.and_(sa.true(), *where),\n        {c.status: sa.bindparam",
    ),
    Mutation(
        "cancel: a later request is fresh",
        OPERATING,
        '{c.status: sa.bindparam("status", type_=c.status.type), c.next_retry_at: sa.null()}',
        '{c.status: sa.bindparam("status", type_=c.status.type)}',
    ),
    Mutation(
        "adopt: only rows without a lease",
        OPERATING,
        "c.lease_expires_at.is_(None), c.claim_token.is_(None), *where",
        "*where",
    ),
    Mutation(
        "adopt: only Processing rows",
        OPERATING,
        "c.status == queue.literal(Role.PROCESSING), c.lease_expires_at.is_(None)",
        "c.lease_expires_at.is_(None)",
    ),
    Mutation(
        "operator: locks in primary-key order",
        OPERATING,
        "        .order_by(*c.key)\n        .with_for_update(key_share=True, of=queue.table)",
        "        .with_for_update(key_share=True, of=queue.table)",
    ),
    Mutation(
        "pause: an operator's is not weakened",
        PAUSING,
        'sa.and_(pauses.c.until.is_(None), insert.excluded.paused_by != "operator")',
        "sa.false()",
    ),
    Mutation("resume: a probe lifts no operator's pause", PAUSING, "which.append(pauses.c.until.is_not(None))", "pass"),
    Mutation("probe: not before its time", PAUSING, "            pauses.c.until <= NOW,\n", ""),
    Mutation(
        "probe: one worker at a time",
        PAUSING,
        "            sa.or_(pauses.c.probing_until.is_(None), pauses.c.probing_until < NOW),\n",
        "",
    ),
    Mutation(
        "probe: again when the prober was lost",
        PAUSING,
        "sa.or_(pauses.c.probing_until.is_(None), pauses.c.probing_until < NOW)",
        "pauses.c.probing_until.is_(None)",
    ),
    Mutation(
        "session form: writes of a lost claim are rolled back",
        "session_settle.py",
        "            session.rollback()\n",
        "            session.commit()\n",
    ),
    Mutation(
        "batch in session: one lost claim rolls back the writes of all",
        "session_settle.py",
        "if contested.lost:",
        "if len(contested.lost) == len(settlements):",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: rows whose writes were rolled back with a lost claim's run again",
        "desk.py",
        "                self._settler.put(claim, Settlement.released())\n",
        "                pass\n",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: what one row is refused for, the others do not suffer",
        "session_forms.py",
        "elif middle and blames_data(exc):",
        "elif False:",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: run again only when the database blames a row",
        "session_forms.py",
        "elif middle and blames_data(exc):",
        "elif middle:",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: a deadlock is run again",
        "session_forms.py",
        "if is_transient(exc) and tries > 1:",
        "if False:",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: an entity whose row is gone fails no other",
        "refusal.py",
        "StatementError | QueueDeclarationError | StaleDataError)",
        "StatementError | QueueDeclarationError)",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch: a row that cannot be read fails alone",
        "forms.py",
        '            except Exception as exc:\n                log.debug("row',
        '            except ZeroDivisionError as exc:\n                log.debug("row',
        ("tests/jobloop/test_entities.py",),
    ),
    Mutation(
        "entities that SQLAlchemy loads: one that it cannot load fails alone",
        "store.py",
        "            if middle := len(claims) // 2:\n",
        "            if (middle := len(claims) // 2) and False:\n",
        ("tests/jobloop/test_entities.py",),
    ),
    Mutation(
        "entities that SQLAlchemy loads: no row is blamed for a statement that the database ended",
        "store.py",
        "if (isinstance(exc, DBAPIError) and not blames_data(exc)) or is_absent(exc):",
        "if is_absent(exc):",
        ("tests/jobloop/test_loading.py",),
    ),
    Mutation(
        "entities that SQLAlchemy loads: no row is blamed for a database that is away",
        "store.py",
        "if (isinstance(exc, DBAPIError) and not blames_data(exc)) or is_absent(exc):",
        "if isinstance(exc, DBAPIError) and not blames_data(exc):",
        ("tests/jobloop/test_loading.py",),
    ),
    Mutation(
        "entities that SQLAlchemy loads: a row that is gone by then is not handed out",
        "store.py",
        '_raising(LookupError("the row is gone")) if claim.record is None else _as_is',
        "_as_is",
        ("tests/jobloop/test_loading.py",),
    ),
    Mutation(
        "entities: not without the version that guards them",
        "entity.py",
        "if version is not None and version not in queue.row_columns.values():",
        "if False:",
        ("tests/jobloop/test_entities.py",),
    ),
    Mutation(
        "session form: what is set on an entity is written",
        "session_forms.py",
        "            attach([row], session)  # so that what the handler sets on it is written too\n",
        "            pass\n",
        ("tests/jobloop/test_each_session.py",),
    ),
    Mutation(
        "batch in session: what is set on entities is written",
        "session_forms.py",
        "                attach(rows, session)\n",
        "                pass\n",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: no answer by other keys commits anything",
        "forms.py",
        "if said and said.keys().isdisjoint([claim.key for claim in share]):",
        "if False:",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: rows that run again are read again",
        "store.py",
        "            claim.record, claim.read = now[claim.key].record, now[claim.key].read\n",
        "            pass\n",
        ("tests/jobloop/test_entities.py",),
    ),
    Mutation(
        "batch in session: rows that run again are still ours",
        WORKING,
        "    mine = sa.and_(same_key(queue.columns.key, claims), queue.columns.claim_token == claims.c.token)\n"
        "    found = ",
        "    mine = same_key(queue.columns.key, claims)\n    found = ",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: a cancellation from elsewhere fails only what it hit",
        "crew.py",
        "                    for claim in self._unanswered(share):\n                        self._desk",
        "                    for claim in share:\n                        self._desk",
        (BATCH_SESSION,),
    ),
    Mutation(
        "batch in session: a cancelled cycle does not cut off the commit",
        "session_forms.py",
        "await to_the_end(desk.settle_in(session, answers))",
        "await desk.settle_in(session, answers)",
        (BATCH_SESSION,),
    ),
    Mutation(
        "session form: a cancelled cycle does not cut off the commit",
        "session_forms.py",
        "await to_the_end(desk.settle_in(session, [(claim, answer)]))",
        "await desk.settle_in(session, [(claim, answer)])",
        (BATCH_SESSION,),
    ),
    Mutation(
        "a batch that is stopped after some of its rows settles only the others",
        "crew.py",
        "if claim not in answered]",
        "]",
        (BATCH_SESSION,),
    ),
    Mutation(
        "session form: no second engine, which would commit by itself",
        "binding.py",
        "if len(_engines(sessions)) > 1:",
        "if False:",
        ("tests/jobloop/test_engines.py",),
    ),
    Mutation(
        "batch in session: what a policy forbids one row, the others do not suffer",
        "refusal.py",
        " or _is_by_policy(exc)",
        "",
        ("tests/jobloop/test_neighbours.py",),
    ),
    Mutation(
        "outcomes: a malformed one fails its row and ends no worker",
        "settlement.py",
        "if not (isinstance(values, Mapping) and all(isinstance(name, str) for name in values)):",
        "if False:",
        ("tests/jobloop/test_loop.py",),
    ),
    Mutation(
        "session form: the settle goes by the loop's engine, wherever sessions route reads",
        "session_settle.py",
        'session.connection(bind_arguments={"bind": self._engine})',
        'session.connection(bind_arguments={"mapper": self._queue.mapper})',
        ("tests/jobloop/test_engines.py",),
    ),
    Mutation(
        "session form: the settle goes to the schema that the engine translates to",
        "session_settle.py",
        'if connection.get_execution_options().get("schema_translate_map"):',
        "if False:",
        ("tests/jobloop/test_engines.py",),
    ),
    Mutation(
        "session form: a session that cannot be closed is not what the row failed of",
        "session_forms.py",
        '    except Exception as exc:\n        log.debug("a session',
        '    except ZeroDivisionError as exc:\n        log.debug("a session',
        ("tests/jobloop/test_each_session.py",),
    ),
    Mutation(
        "session form: no session in a thread",
        "handler.py",
        "if not is_async(fn) or (form is None and is_threaded(fn)):",
        "if not is_async(fn):",
        ("tests/jobloop/test_each_session.py",),
    ),
    Mutation(
        "batch in session: a pause is heeded only with what was committed",
        "desk.py",
        "        contested = await self._store.settle_in(session, settlements)\n",
        "        [self._pauser.heed(answer) for _, answer in answers]\n"
        "        contested = await self._store.settle_in(session, settlements)\n",
        ("tests/jobloop/test_pausing.py",),
    ),
    Mutation("session form: a status that the handler set is kept", "session_settle.py", "session.flush()", "pass"),
    Mutation(
        "session form: an open transaction is committed with the settle",
        "desk.py",
        "if not session.in_transaction():",
        "if session:",
    ),
    Mutation(
        "deadlocks are tried again",
        "transaction.py",
        "TRANSIENT = frozenset({_DEADLOCK, ",
        "TRANSIENT = frozenset({",
    ),
    Mutation(
        "READ COMMITTED whatever the server says",
        "transaction.py",
        'is_alone = default == "read committed" and',
        "is_alone =",
    ),
    Mutation(
        "a transaction around every statement behind a pooler",
        "transaction.py",
        " and not _is_pooled(connection)",
        "",
        ("tests/jobloop/test_costs.py", "tests/faults/test_pooler.py"),
    ),
    Mutation(
        "settler: a read-only database is waited for",
        "refusal.py",
        '"53", "25006")',
        '"53")',
        ("tests/faults/test_server.py::test_read_only_database_is_waited_for_and_said",),
    ),
    Mutation(
        "settler: a row is not blamed for a lock timeout",
        "refusal.py",
        'return (sqlstate(exc) or "").startswith(_WRONG_ROW)',
        "return True",
        ("tests/jobloop/test_interruption.py",),
    ),
    Mutation(
        "leases: the handler of a lost claim is cancelled", "lease.py", "                self._on_lost(claim)\n", ""
    ),
    Mutation(
        "leases: a batch of which rows are still held is not cancelled",
        "crew.py",
        "if claim in share and not self._leases.held(share):",
        "if claim in share:",
        (BATCH_SESSION,),
    ),
    Mutation(
        "leases: a row that was lost while it waited is not started",
        "crew.py",
        "            self._waiting.remove(claim)\n",
        "            pass\n",
    ),
    Mutation(
        "leases: a batch is handled without the rows that were lost since it was taken",
        "crew.py",
        "if len(share) == 1 or (share := self._leases.held(share)):",
        "if share:",
        (BATCH_SESSION,),
    ),
    Mutation(
        "leases: a worker that slept past one begins no row before it knows what is its own",
        "crew.py",
        "if not self._leases.are_sure():",
        "if False:",
        ("tests/faults/test_wake.py", "tests/jobloop/test_ownership.py"),
    ),
    Mutation(
        "leases: a renewal says nothing of claims that came while it was under way",
        "lease.py",
        "min(asked_at + self._lease_seconds, self._new_until)",
        "asked_at + self._lease_seconds",
        ("tests/jobloop/test_ownership.py",),
    ),
    Mutation(
        "listener: the connection is probed",
        "listener.py",
        'await connection.execute("SELECT 1", timeout=self._probe_seconds)',
        "pass",
        ("tests/faults/test_network.py::test_half_open_listen_connection_is_found_and_replaced_and_wakes",),
    ),
    Mutation(
        "listener: who connects again looks for what it missed",
        "listener.py",
        "        self._wake_all()\n        while True:",
        "        while True:",
        ("tests/faults/test_network.py::test_half_open_listen_connection_is_found_and_replaced_and_wakes",),
    ),
)


async def _run(mutation: Mutation | None, folder: Path, server_url: str) -> str | None:
    """The test that went red, or None. Without a mutation: all tests, which must be green."""
    await asyncio.to_thread(_copy, folder)
    tests = list(QUICK)
    if mutation is not None:
        await asyncio.to_thread(_apply, mutation, folder)
        tests = [*mutation.tests, *(test for test in QUICK if test not in mutation.tests)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", *tests),
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": f"{folder / 'src'}", "TEST_DATABASE_URL": server_url, "STATE_MACHINE_SHRINK": "no"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(HANGS_AFTER_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return "(hangs)"
    text = output.decode(errors="replace")
    if process.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) tests/(?:\w+/)*(\w+)\.py(?:::(\w+))?", text, re.M)
    if found is None:
        raise RuntimeError(f"{mutation}: pytest ended with {process.returncode}:\n{text[-3000:]}")
    return f"`{found[2] or found[1]}`"


def _copy(folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)


def _apply(mutation: Mutation, folder: Path) -> None:
    path = folder / "src/jobloop" / mutation.file
    source = path.read_text()
    if source.count(mutation.text) != 1:
        raise LookupError(f"{source.count(mutation.text)} times in {mutation.file}: {mutation.text!r}")
    mutated = source.replace(mutation.text, mutation.replacement)
    path.write_text(mutated.replace("CLOCK_NOW()", "sa.func.clock_timestamp()"))


async def main(words: list[str]) -> int:
    chosen = [each for each in MUTATIONS if not words or any(word in f"{each.guard} {each.file}" for word in words)]
    results: dict[Mutation, str | None] = {}
    outdated: dict[Mutation, str] = {}
    queue = asyncio.Queue[Mutation]()
    for mutation in chosen:
        queue.put_nowait(mutation)
    with tempfile.TemporaryDirectory(prefix="jobloop-mutants-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o755)
        async with PrivateServer(folder / "server") as server:
            url = server.postgres.url("postgres").render_as_string(hide_password=False)
            if not words and (red := await _run(None, folder / "none", url)):
                print(f"The tests are red without any mutation: {red}")
                return 2

            async def work() -> None:
                while not queue.empty():
                    mutation = queue.get_nowait()
                    place = folder / f"mutant-{MUTATIONS.index(mutation)}"
                    try:
                        results[mutation] = await _run(mutation, place, url)
                    except LookupError as exc:
                        outdated[mutation] = str(exc)
                    await asyncio.to_thread(shutil.rmtree, place)
                    words = outdated.get(mutation) or results[mutation] or "NOTHING"
                    print(f"{mutation.guard}: {words}", file=sys.stderr, flush=True)

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
    print("\n| guard | in | red without it |\n|---|---|---|")
    for mutation in sorted(results, key=MUTATIONS.index):
        print(f"| {mutation.guard} | `{mutation.file}` | {results[mutation] or '**nothing**'} |")
    survivors = sum(result is None for result in results.values())
    print(f"\n{len(results)} guards removed in turn, {survivors} not noticed.")
    for mutation, words in outdated.items():
        print(f"{mutation.guard}: the list is out of date, its text is {words}")
    return 1 if survivors or outdated else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
