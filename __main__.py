"""The `pocketgraph` command: gathers the commands of the rooms, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
from types import FrameType

import click

from pocketgraph import __version__
from pocketgraph.models.errors import PocketgraphError

USER_ERROR, INTERNAL_ERROR, INTERRUPTED = 2, 1, 130
_COMMANDS = {
    "bench": "pocketgraph.runtime.bench.command",
    "convert": "pocketgraph.convert.command",
    "demo": "pocketgraph.demos.command",
    "explain": "pocketgraph.convert.command",
    "graph": "pocketgraph.demos.graph_command",
    "models": "pocketgraph.models.command",
    "replay": "pocketgraph.demos.replay_command",
    "run": "pocketgraph.demos.run_command",
    "webcam": "pocketgraph.demos.webcam_command",
}
_BENCH_GRAPH = "pocketgraph.demos.graph_bench.command"
"""Measures pipelines, which lie above the room of `bench`."""


class _Rooms(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _COMMANDS:
            return None
        command = _command(_COMMANDS[name], name)
        if name == "bench":
            getattr(command, "others")["graph"] = lambda: _command(_BENCH_GRAPH, "graph")  # noqa: B009 - of its class
        return command


def _command(module: str, name: str) -> click.Command:
    command = getattr(importlib.import_module(module), name)
    assert isinstance(command, click.Command)
    return command


@click.group(cls=_Rooms, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", prog_name="pocketgraph")
@click.option("--debug", is_flag=True, help="Show the traceback of errors.")
def cli(debug: bool) -> None:
    """Prune, convert, explain and run models for phones, browsers and small computers."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 for what a user can mend, 130 after Ctrl-C, 1 for a defect."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    # wherever it stands on the line: after a failure people add it at the end
    arguments = ["--debug"] * debug + [argument for argument in arguments if argument != "--debug"]
    if not debug:  # before OpenCV is loaded: what it and FFmpeg say is said better by our own messages
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        cli.main(arguments, prog_name="pocketgraph", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort) as error:
        _say(str(error.__cause__ or error) or "interrupted")  # click makes Abort of Ctrl-C
        return INTERRUPTED
    except BrokenPipeError:
        # the reader (a pager, head) has had enough: let the interpreter's own flush at exit go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as error:
        _say(_click_message(error))
        return USER_ERROR
    except (PocketgraphError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        _say(str(error) or type(error).__name__)
        return USER_ERROR
    except Exception as error:  # noqa: BLE001 - the outermost line: a defect is told in one line as well
        if debug:
            traceback.print_exc()
        _say(
            f"a defect in pocketgraph: {type(error).__name__}: {error}; run again with --debug and report what it shows"
        )
        return INTERNAL_ERROR
    return 0


def _click_message(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context is not None else ""
    return error.format_message().rstrip(".") + hint


def _say(message: str) -> None:
    click.echo(f"pocketgraph: {' '.join(message.split())}", err=True)


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    # as an exception, so that files being written are cleaned up
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
