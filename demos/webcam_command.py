"""The command `pocketgraph webcam`: the overlay in a browser, for machines without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pocketgraph.demos.pipeline_options import PIPELINES, pipeline_options
from pocketgraph.models.grouped_help import Grouped, option

if TYPE_CHECKING:
    from pocketgraph.runtime.vision.camera import Camera, Clip

_PATIENCE = 5.0  # seconds that a camera has for its first frame before the page opens without it


@click.command(cls=Grouped, epilog="\b\nExamples:\n  pocketgraph webcam\n  pocketgraph webcam hands --input 0")
@click.argument("pipeline", type=click.Choice(PIPELINES), default="holistic")
@option("Page", "--input", "source", metavar="0|FILE|URL",
        help="This machine's camera, a video or a stream; without it, the camera of the browser.")  # fmt: skip
@option("Page", "--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1; by default any free one.")
@pipeline_options
def webcam(pipeline: str, source: str | None, port: int, **settings: Any) -> None:
    """Show PIPELINE (holistic by default) over a camera, in a page that only this machine can open. Ctrl-C ends it.

    To see it from another machine, forward the port: ssh -L PORT:127.0.0.1:PORT HOST.
    """
    import time
    from contextlib import ExitStack

    from pocketgraph.demos.pipelines import Settings
    from pocketgraph.demos.running import Signals
    from pocketgraph.demos.session import Session
    from pocketgraph.demos.webcam_server import WebcamServer
    from pocketgraph.runtime.vision.camera import open_source

    with ExitStack() as stack:
        frames: Camera | Clip | None = None
        if source is not None:
            frames = open_source(source, lambda text: click.echo(f"pocketgraph: {text}", err=True))
            stack.enter_context(frames)
        session = stack.enter_context(Session(pipeline, Settings(**settings)))
        server = WebcamServer(session, frames, port)
        stack.callback(server.close)
        server.start(_PATIENCE)
        signals = stack.enter_context(Signals(lambda: None))
        click.echo(f"{pipeline} is at {server.url}\nCtrl-C ends it.")
        while signals.got is None:
            time.sleep(0.2)
    click.echo("\n".join(session.summary()))
