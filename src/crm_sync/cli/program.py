"""The command `crm-sync`: which commands there are, and how every one of them fails.

A failure that the user can act on is one sentence on standard error and an exit code; a traceback only with --debug:

    0  done                       4  HubSpot refused, or could not be reached
    1  failed                     5  no such contact
    2  wrong arguments, settings  6  a worker has the contact or the stream right now, or the queue is paused
    3  the database             130  stopped by Ctrl-C

`pull` of several streams: 1 when some of them failed, 2 when all did.

Only typer is imported here and at the top of the commands, so that help and completion are quick.
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from crm_sync.cli import (
    contacts_import,
    db_check,
    db_current,
    db_upgrade,
    demo,
    emulator,
    pull_all,
    pull_associations,
    pull_cursors,
    pull_issues,
    pull_reset,
    pull_streams,
    push_contact,
    push_setup,
    queue_adopt,
    queue_cancel,
    queue_doctor,
    queue_errors,
    queue_pause,
    queue_requeue,
    queue_resume,
    queue_retry,
    queue_status,
    runs,
    serve,
    worker,
)
from crm_sync.cli.opening import debug
from crm_sync.cli.pull_group import STREAMS, PullGroup, StreamsCommand

FAILED, DATABASE = 1, 3


class Commands(TyperGroup):
    """The root of all commands: takes --debug anywhere, and turns what a command raises into a sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        before, separator, after = _split(args)
        debug.set("--debug" in before)
        return super().parse_args(ctx, [arg for arg in before if arg != "--debug"] + separator + after)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as exc:
            code = _exit_code(exc)
            if code is None:
                raise
            if debug.get():
                _log_traceback(exc)
            typer.secho(_sentence(exc, code), fg=typer.colors.RED, err=True)
            raise typer.Exit(code) from exc


def program() -> typer.Typer:
    """All commands. `--help` on each says what it does."""
    app = typer.Typer(
        name="crm-sync",
        cls=Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Contacts in your own PostgreSQL table reach HubSpot, and what HubSpot knows reaches PostgreSQL.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 3 the database, 4 HubSpot, "
        "5 no such contact, 6 the contact or stream is being worked on right now, or the queue is paused, "
        "130 stopped by Ctrl-C. Of a pull: 1 some streams failed, 2 all of them did.",
    )
    app.callback()(_options)
    app.command("serve")(serve.serve)
    app.command("worker")(worker.worker)
    app.command("runs")(runs.runs)
    app.command("demo")(demo.demo)
    app.command("emulator")(emulator.emulator)
    groups: dict[str, tuple[str, dict[str, Any]]] = {
        "push": ("Send to HubSpot by hand.", {"contact": push_contact.push_contact, "setup": push_setup.push_setup}),
        "pull": (
            "Bring what HubSpot knows into the mirror.",
            {
                STREAMS: pull_streams.pull_streams,
                "all": pull_all.pull_all,
                "associations": pull_associations.pull_associations,
                "cursors": pull_cursors.pull_cursors,
                "reset": pull_reset.pull_reset,
                "issues": pull_issues.pull_issues,
            },
        ),
        "contacts": ("Bring contacts into the table.", {"import": contacts_import.contacts_import}),
        "queue": (
            "Watch a queue and mend it.",
            {
                "status": queue_status.show_status,
                "errors": queue_errors.show_errors,
                "retry": queue_retry.retry,
                "requeue": queue_requeue.requeue,
                "cancel": queue_cancel.cancel,
                "adopt": queue_adopt.adopt,
                "pause": queue_pause.pause,
                "resume": queue_resume.resume,
                "doctor": queue_doctor.doctor,
            },
        ),
        "db": (
            "The database's schema.",
            {"upgrade": db_upgrade.upgrade, "current": db_current.current, "check": db_check.check},
        ),
    }
    for name, (words, commands) in groups.items():
        group = typer.Typer(help=words, no_args_is_help=True, cls=PullGroup if name == "pull" else None)
        for command, function in commands.items():
            group.command(command, cls=StreamsCommand if command == STREAMS else None)(function)
        app.add_typer(group, name=name)
    return app


def main() -> None:
    """The entry point of the installed command."""
    program()()


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"jobloop {version('jobloop')}")
        raise typer.Exit


def _options(
    show_debug: Annotated[
        bool, typer.Option("--debug", help="Log every HubSpot call and SQL statement with its time, and tracebacks.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """The options of every command."""


def _split(args: list[str]) -> tuple[list[str], list[str], list[str]]:
    if "--" not in args:
        return args, [], []
    at = args.index("--")
    return args[:at], ["--"], args[at + 1 :]


def _exit_code(exc: Exception) -> int | None:
    """What to end with; None for what is not a failure of ours: typer's own, and an output that was closed."""
    if isinstance(exc, typer.Exit | typer.Abort) or type(exc).__module__.partition(".")[0] in ("click", "typer"):
        return None
    from crm_sync.errors import CrmSyncError

    if isinstance(exc, CrmSyncError):
        return exc.exit_code
    if isinstance(exc, BrokenPipeError):
        return None
    if "sqlalchemy" in sys.modules and "jobloop" in sys.modules:
        from sqlalchemy.exc import SQLAlchemyError

        from jobloop import JobLoopError

        if isinstance(exc, SQLAlchemyError | JobLoopError):
            return DATABASE
    return FAILED


def _log_traceback(exc: Exception) -> None:
    """By way of the log, which takes secrets out."""
    import logging

    logging.getLogger("crm_sync").error("the command failed", exc_info=exc)


def _sentence(exc: Exception, code: int) -> str:
    from crm_sync.errors import CrmSyncError

    words = " ".join(str(getattr(exc, "orig", None) or exc).split()) or type(exc).__name__
    if isinstance(exc, CrmSyncError):
        return "\n".join(line.strip() for line in str(exc).splitlines())
    if code == DATABASE:
        return f"The database refused: {words.rpartition('>: ')[2]}" if hasattr(exc, "orig") else words
    advice = "" if debug.get() else "\nRun it again with --debug for the traceback."
    return f"Unexpected {type(exc).__name__}: {words}{advice}"
