"""Arrays: what settle and renew take, the values of many claims as one bind for each column."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from jobloop.claim import Claim
from jobloop.queue import JobQueue
from jobloop.settlement import COMPLETED, Settlement
from jobloop.status import Role

Settled = tuple[Claim, Settlement]
#: What tells one settle statement from another: the role, and the value columns that it writes.
Shape = tuple[Role, tuple[str, ...]]
#: What nearly all rows come to.
PLAIN: Shape = (Role.COMPLETE, ())


def by_shape(settlements: Sequence[Settled]) -> Mapping[Shape, Sequence[Settled]]:
    """Settlements that one statement can write: the same role, the same value columns."""
    plain = [settled for settled in settlements if settled[1] is COMPLETED]
    if len(plain) == len(settlements):  # nearly always
        return {PLAIN: plain} if plain else {}
    groups: dict[Shape, list[Settled]] = defaultdict(list)
    for settled in settlements:
        groups[settled[1].to, tuple(sorted(settled[1].values))].append(settled)
    return groups


def only_token(some: Sequence[Settled]) -> UUID | None:
    """The token of all these claims, if one statement made them; then each has a key of its own."""
    token = some[0][0].token
    return None if [claim for claim, _ in some if claim.token is not token] else token


def claim_arrays(queue: JobQueue, claims: Collection[Claim]) -> dict[str, list[Any]]:
    """The keys and tokens of `claims`."""
    if len(queue.columns.key) == 1:
        arrays = {"key_0": [claim.key for claim in claims]}
    else:
        arrays = {f"key_{i}": [claim.key[i] for claim in claims] for i in range(len(queue.columns.key))}
    arrays["token"] = [claim.token for claim in claims]
    return arrays


def settle_arrays(queue: JobQueue, shape: Shape, group: Sequence[Settled]) -> dict[str, list[Any]]:
    """Everything that `statements.settle` of this shape takes."""
    to, names = shape
    arrays = claim_arrays(queue, [claim for claim, _ in group])
    said = [settlement for _, settlement in group]
    if to is not Role.COMPLETE:
        arrays["error"] = [each.error for each in said]
        arrays["counted"] = [int(each.counted) for each in said]
    if to is Role.QUEUED:
        arrays["delay_seconds"] = [each.delay_seconds for each in said]
        arrays["until"] = [each.until for each in said]
    for i, name in enumerate(names):
        arrays[f"value_{i}"] = [each.values[name] for each in said]
    return arrays
