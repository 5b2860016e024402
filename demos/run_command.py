"""The command `pocketgraph run`: a pipeline over a camera, a video, a stream, a picture or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pocketgraph.demos.pipeline_options import PIPELINES, pipeline_options
from pocketgraph.models.grouped_help import Grouped, option

_FILE = click.Path(dir_okay=False, path_type=Path)
_FRAMES, _RESULTS = "Frames", "Results"
_EXAMPLES = """\b
Examples:
  pocketgraph run holistic --input dance.mp4 --output overlay.mp4 --json landmarks.jsonl
  pocketgraph run holistic --input street.mp4 --output overlay.mp4 --num-people 4
  pocketgraph run hands --input 0 --show
"""


@click.command(cls=Grouped, epilog=_EXAMPLES)
@click.argument("pipeline", type=click.Choice(PIPELINES))
@option(_FRAMES, "--input", "source", required=True, metavar="0|FILE|FOLDER|URL",
        help="A camera's number, a video, a picture, a folder of pictures, or rtsp://…")  # fmt: skip
@option(_RESULTS, "--output", type=click.Path(path_type=Path), metavar="FILE|FOLDER",
        help="The overlay: a video of a video, a picture of a picture, a folder of a folder.")  # fmt: skip
@option(_RESULTS, "--json", "json_file", metavar="FILE.jsonl",
        help="A record a frame and line, for pocketgraph.graphs.Timed.from_json; - for standard output.")  # fmt: skip
@option(_RESULTS, "--record", type=_FILE, metavar="FILE.pgrec", help="Frames and records, for `pocketgraph replay`.")
@option(_RESULTS, "--show", is_flag=True,
        help="A window; keys h f p s switch parts, q quits. Needs the extra 'window'.")  # fmt: skip
@option(_RESULTS, "--trace", type=_FILE, metavar="FILE.json", help="What ran when, for Chrome's trace viewer.")
@pipeline_options
def run(
    pipeline: str,
    source: str,
    output: Path | None,
    json_file: str | None,
    record: Path | None,
    show: bool,
    trace: Path | None,
    **settings: Any,
) -> None:
    """Run PIPELINE over frames: draw what it finds, write landmarks, and say how fast it was.

    Ctrl-C ends it, and what was written until then is kept. Without --output, --json, --record and --show it measures.
    """
    from pocketgraph.convert.terminal import progress_bars
    from pocketgraph.demos.pipelines import Settings
    from pocketgraph.demos.running import Job, run_job

    job = Job(pipeline, source, output, json_file, record, trace, show, Settings(**settings))
    with progress_bars() as progress:
        ended = run_job(job, progress, lambda text: click.echo(f"pocketgraph: {text}", err=True))
    for line in ended.lines:
        click.echo(line, err=json_file == "-")
    if ended.signal is not None:
        ended.leave()
