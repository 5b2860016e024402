"""The commands `pocketgraph demo …`: each runs one demo and ends with what it made and where it lies."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def demo() -> None:
    """Run a demo on real models and real pictures."""


@demo.command("selfie-blur", epilog="\b\nExample:\n  pocketgraph demo selfie-blur -o out/demo")
@click.option("-o", "--output", default="out/demo", show_default=True, metavar="FOLDER", help="Where the results go.")
@click.option(
    "--sparsity", type=click.FloatRange(0, 1), default=0.7, show_default=True, help="Share of weights removed."
)
@click.option(
    "--method", type=click.Choice(["obc", "magnitude"]), default="obc", show_default=True, help="How to prune."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the crops that calibrate.")
def selfie_blur(output: str, sparsity: float, method: str, seed: int) -> None:
    """Prune the model behind background blur in video calls, and show that it still finds the people."""
    from pocketgraph.convert.terminal import print_result, progress_bars
    from pocketgraph.demos.selfie_blur import run

    with progress_bars() as progress:
        outcome = run(Path(output), sparsity, method=method, seed=seed, progress=progress)
    print_result(outcome.result)
    click.echo(f"  {outcome.picture}")
    click.echo("\nMask IoU of sparse against dense in that picture:")
    for name, iou in outcome.ious.items():
        click.echo(f"  {iou:.1%}  {name}")
