"""`crm-sync pull`: a group whose commands are words, and whose everything else are streams."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

#: The command behind `crm-sync pull contacts deals`.
STREAMS = "STREAM..."


class PullGroup(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What names no command is the name of a stream, or an option of its pull."""
        words = [arg for arg in args if not arg.startswith("-")]
        if words and words[0] not in self.commands:
            args = [STREAMS, *args]
        return super().parse_args(ctx, args)


class StreamsCommand(TyperCommand):
    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Its name says already what its arguments are."""
        return [self.options_metavar or ""]
