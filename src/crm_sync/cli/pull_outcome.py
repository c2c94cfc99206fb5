"""The end of a pull: a bird's-eye table over all streams, or one JSON object, and the exit code."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from crm_sync.pull_now import Pulled

_COUNTS = ("inserted", "updated", "unchanged", "archived", "removed", "associations", "issues", "calls", "calls_saved")
_HEADINGS = {
    "inserted": "new",
    "updated": "changed",
    "unchanged": "same",
    "associations": "assoc.",
    "calls_saved": "saved",
}
#: Left out where all are zero, and from the first on where the screen is narrow.
_LEAST = ("/1,000", "saved", "removed", "archived", "same", "seconds", "assoc.", "issues")
#: How many streams with the same end are named.
_NAMED = 6
#: Ends of notes that tell nothing to act on: shown with --debug, and in JSON.
_DETAILS = (" have no pipelines.", "One call had the events of every type.")
DONE, PARTIAL, FAILED, INTERRUPTED = 0, 1, 2, 130


def exit_code(pulled: "Sequence[Pulled]") -> int:
    from crm_sync.pull_now import State

    states = [one.state for one in pulled if one.state is not State.SKIPPED]
    if State.STOPPED in states:
        return INTERRUPTED
    bad = sum(state is not State.DONE for state in states)
    return DONE if not bad else FAILED if bad == len(states) else PARTIAL


def print_outcome(pulled: "Sequence[Pulled]", *, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(_as_dict(pulled), ensure_ascii=False, indent=2))
    else:
        _print(pulled)


def _as_dict(pulled: "Sequence[Pulled]") -> dict[str, Any]:
    words = {DONE: "done", PARTIAL: "partial", FAILED: "failed", INTERRUPTED: "stopped"}
    return {
        "outcome": words[exit_code(pulled)],
        "streams": [
            {
                **one.report.as_json(),
                "state": one.state.value,
                "run": one.run_id,
                "calls_per_1000": one.report.calls_per_1000,
                "error": one.error,
                "goes_on_at": one.goes_on_at.isoformat() if one.goes_on_at else None,
            }
            for one in pulled
        ],
        "totals": {name: sum(getattr(one.report, name) for one in pulled) for name in ("fetched", *_COUNTS)},
    }


def _print(pulled: "Sequence[Pulled]") -> None:
    from crm_sync.cli.opening import debug
    from crm_sync.cli.screen import console
    from crm_sync.pull_now import State

    stopped = [one for one in pulled if one.state is State.STOPPED]
    not_begun = [
        one
        for one in pulled
        if one.state in (State.STOPPED, State.FAILED) and one.run_id is None and not one.report.calls
    ]
    untried = [one for one in pulled if one.state is State.WAITING and not one.report.calls]
    shown = [one for one in pulled if one.state is not State.SKIPPED and one not in (*not_begun, *untried)]
    if shown:
        screen = console()
        screen.print(summary(shown, screen))
    said: set[str] = set()
    for one in pulled:
        alike = [each for each in pulled if each.error == one.error and each.state is one.state]
        notes = [note for note in one.report.notes if debug.get() or not note.endswith(_DETAILS)]
        for words in (*_verdict(one, alike), *(f"{one.stream}: {note}" for note in notes)):
            colour = typer.colors.RED if one.state in (State.FAILED, State.WAITING) else typer.colors.YELLOW
            if words not in said:
                typer.secho(words, fg=colour, err=True)
            said.add(words)
    if stopped:
        kept = ", ".join(one.stream for one in stopped if one not in not_begun) or "nothing had begun"
        later = f" Not begun: {', '.join(one.stream for one in stopped if one in not_begun)}." if not_begun else ""
        words = f"Stopped: {kept}. What came is kept, and the next pull goes on from there.{later}"
        typer.secho(words, fg=typer.colors.YELLOW, err=True)


def summary(shown: "Sequence[Pulled]", screen: "Console") -> "Table":
    """The streams and their sums, as wide as the screen is."""
    from crm_sync.cli.screen import fitting_table
    from crm_sync.pull_now import State

    columns: dict[str, list[Any]] = {"stream": [one.stream for one in shown]}
    columns |= {_HEADINGS.get(name, name): [getattr(one.report, name) for one in shown] for name in _COUNTS}
    columns |= {
        "/1,000": [one.report.calls_per_1000 for one in shown],
        "seconds": [one.report.seconds for one in shown],
        "": [one.state.value for one in shown],
    }
    if len(shown) > 1:
        fetched, calls = sum(one.report.fetched for one in shown), sum(one.report.calls for one in shown)
        sums = {name: sum(values) for name, values in columns.items() if isinstance(values[0], int)}
        sums |= {"stream": "all", "": "", "/1,000": 1000 * calls / fetched if fetched else None, "seconds": None}
        for name, values in columns.items():
            values.append(sums[name])
    if any(one.report.is_dry_run for one in shown):
        title = "Dry run: nothing was written"
    elif any(one.state is State.DONE or one.report.fetched for one in shown):
        title = "Pulled"
    else:
        title = "Not pulled"
    return fitting_table(screen, title, columns, texts=("stream", ""), least=_LEAST)


def _verdict(one: "Pulled", alike: "Sequence[Pulled]") -> list[str]:
    """What is to be said of it, and of the others with the same end in the same words."""
    from crm_sync.pull_now import State

    streams = [each.stream for each in alike]
    names = ", ".join(streams) if len(streams) <= _NAMED else f"{streams[0]} and {len(streams) - 1} more"
    said = [f"{names}: {one.error}"] if one.error else []
    if one.state is State.WAITING and (times := [each.goes_on_at for each in alike if each.goes_on_at]):
        at = f"{min(times):%Y-%m-%d %H:%M:%S} UTC in a running `crm-sync serve` or `worker`"
        if len(alike) == 1:
            said.append(f"  It goes on where it stopped, at {at}, or with `crm-sync pull {one.stream}`.")
        else:
            said.append(f"  Nothing is lost: they go on where they stopped, at {at}, or with the same command again.")
    return said
