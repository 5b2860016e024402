"""The command `pocketgraph bench graph PIPELINE --video FILE`."""

from __future__ import annotations

import json
from pathlib import Path

import click

_EXAMPLES = """\b
Examples:
  pocketgraph bench setup mediapipe
  pocketgraph bench graph holistic --video people.mp4
\b
  # ours alone, another delegate
  pocketgraph bench graph hands --video hands.mp4 --engines pocketgraph --delegate litert --json hands.json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("pipeline", type=click.Choice(["holistic", "pose", "hands", "face_mesh"]))
@click.option("--video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, metavar="FILE",
              help="What to look at; its frames are decoded before anything is timed.")  # fmt: skip
@click.option("--engines", metavar="NAMES",
              help="Of pocketgraph, mediapipe. Default: both, where mediapipe is set up.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, metavar="N",
              help="Threads, and processors that each engine is bound to.")  # fmt: skip
@click.option("--delegate", type=click.Choice(["auto", "litert", "chw", "onnxruntime"]), default="auto",
              show_default=True, help="What runs our models.")  # fmt: skip
@click.option(
    "--frames",
    type=click.IntRange(1),
    default=96,
    show_default=True,
    metavar="N",
    help="Frames a round; a shorter video goes to and fro.",
)
@click.option("--rounds", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Timed rounds.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of the order of turns.")
@click.option("--json", "json_file", metavar="FILE", help="Write everything as JSON; - is stdout.")
def graph(
    pipeline: str,
    video: Path,
    engines: str | None,
    threads: int,
    delegate: str,
    frames: int,
    rounds: int,
    seed: int,
    json_file: str | None,
) -> None:
    """Measure frames a second of PIPELINE on a video, beside MediaPipe's on the same frames.

    Each engine runs in a process of its own, bound to as many processors as it has threads; they take turns round by
    round, and what they find is compared. `call` hands over a frame when the last one is answered, `stream` reads
    ahead. The table says where our time goes, model by model, warp included.
    """
    from pocketgraph.demos.graph_bench.bench import run_graph_bench
    from pocketgraph.demos.graph_bench.table import print_graph_result
    from pocketgraph.models.staging import Staging
    from pocketgraph.runtime.bench.engines import engine_named, obstacle
    from pocketgraph.runtime.bench.table import progress_bars

    if engines is None:
        names = ["mediapipe", "pocketgraph"] if obstacle(engine_named("mediapipe")) is None else ["pocketgraph"]
    else:
        names = list(dict.fromkeys(name.strip() for name in engines.split(",") if name.strip()))
    files = [Path(json_file)] if json_file and json_file != "-" else []
    with Staging(files) as staging:
        with progress_bars() as progress:
            result = run_graph_bench(
                pipeline, video, names, threads=threads, frames=frames, rounds=rounds, delegate=delegate, seed=seed,
                progress=progress,
            )  # fmt: skip
        text = json.dumps(result.to_dict(), indent=2) + "\n"
        for file in files:
            staging.temporary(file).write_text(text, encoding="utf-8")
        staging.commit()
    if json_file == "-":
        click.echo(text, nl=False)
        return
    print_graph_result(result, [str(file) for file in files])
    if names == ["pocketgraph"] and engines is None:
        click.echo("beside MediaPipe: pocketgraph bench setup mediapipe")
