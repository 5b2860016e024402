"""The command `pocketgraph run`: a pipeline over a camera, a video, a stream, a picture or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

PIPELINES = ("holistic", "pose", "hands", "face_mesh", "face_detection", "selfie_segmentation")
DELEGATES = ("auto", "chw", "litert", "onnxruntime")
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog="\b\nExamples:\n  pocketgraph run holistic --input dance.mp4 --output overlay.mp4"
               " --json landmarks.jsonl\n  pocketgraph run hands --input 0 --show")  # fmt: skip
@click.argument("pipeline", type=click.Choice(PIPELINES))
@click.option("--input", "source", required=True, metavar="0|FILE|FOLDER|URL",
              help="A camera's number, a video, a picture, a folder of pictures, or rtsp://…")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE|FOLDER",
              help="The overlay: a video of a video, a picture of a picture, a folder of a folder.")  # fmt: skip
@click.option("--json", "json_file", metavar="FILE.jsonl", help="One JSON object a frame; - for standard output.")
@click.option("--record", type=FILE, metavar="FILE.pgrec", help="Frames and results, for `pocketgraph replay`.")
@click.option("--show", is_flag=True, help="A window; keys h f p s switch parts, q quits. Needs the extra 'window'.")
@click.option("--segmentation", is_flag=True, help="Masks too, from holistic and pose.")
@click.option("--delegate", type=click.Choice(DELEGATES), default="auto", show_default=True, help="The engine.")
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True, help="How many it may use.")
@click.option("--trace", type=FILE, metavar="FILE.json", help="What ran when, for Chrome's trace viewer.")
def run(
    pipeline: str,
    source: str,
    output: Path | None,
    json_file: str | None,
    record: Path | None,
    show: bool,
    segmentation: bool,
    delegate: Any,
    threads: int,
    trace: Path | None,
) -> None:
    """Run PIPELINE over frames: draw what it finds, write landmarks, and say how fast it was.

    Ctrl-C ends it, and what was written until then is kept. Without --output, --json, --record and --show it measures.
    """
    from pocketgraph.convert.terminal import progress_bars
    from pocketgraph.demos.running import Job, run_job

    job = Job(
        pipeline, source, output, json_file, record, trace,
        show=show, segmentation=segmentation, delegate=delegate, threads=threads,
    )  # fmt: skip
    with progress_bars() as progress:
        ended = run_job(job, progress, lambda text: click.echo(f"pocketgraph: {text}", err=True))
    for line in ended.lines:
        click.echo(line, err=json_file == "-")
    if ended.signal is not None:
        ended.leave()
