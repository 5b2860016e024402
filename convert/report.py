"""The HTML report of a conversion: one self-contained page with verdict, plots, pictures and all settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from pocketgraph.convert.examples import Example, Guess
from pocketgraph.convert.explanation import Explanation, NodeReport
from pocketgraph.convert.latency_views import html_section
from pocketgraph.convert.pictures import data_uri
from pocketgraph.convert.plots import Bar, Column, bars, columns
from pocketgraph.convert.prune.budget import milliseconds
from pocketgraph.convert.result import ConvertResult, Layer, explanation_summary, human_bytes
from pocketgraph.runtime.page import page, section, table

_GRADE_WORDS = {
    "equal": "equal to dense",
    "good": "close to dense",
    "fair": "visibly different",
    "poor": "far from dense",
    "unverified": "not verified",
}


def html_report(result: ConvertResult, examples: Sequence[Example] = ()) -> str:
    """The page as text. It loads nothing: style, plots and pictures are inside."""
    parts = [
        _header(result),
        _tiles(result),
        _sizes(result),
        _examples(result, examples),
        _outputs(result),
        html_section(result.latency) if result.latency else "",
        _layers(result),
        _rewrites(result),
        _explain(result),
        _settings(result),
    ]
    return page(f"{Path(result.source).name}: pocketgraph convert", "".join(parts))


def _header(result: ConvertResult) -> str:
    notes = "".join(f'<p class="small soft">{escape(note)}</p>' for note in result.notes)
    return (
        f'<header><div class="eyebrow">pocketgraph convert</div><h1>{escape(result.source)}</h1>'
        f'<p class="verdict"><span class="pill {result.grade}">{_GRADE_WORDS[result.grade]}</span>'
        f"{escape(result.verdict)}</p>{notes}</header>"
    )


def _tiles(result: ConvertResult) -> str:
    smallest = min(result.outputs, key=lambda output: output.ratio)
    tiles = [
        (f"{smallest.ratio:.2f}×", f"of the dense f32 size: {human_bytes(smallest.bytes)}"),
        (f"{result.sparsity:.0%}", "zeros in the pruned layers") if result.sparsity else None,
        (f"{result.overall:.0%}", f"zeros among all {result.parameters / 1e6:.2f} M weights")
        if result.overall
        else None,
        (
            milliseconds(result.latency.measured),
            f"a run in {result.latency.engine}, {result.latency.speedup[0]:.2f}x dense",
        )
        if result.latency
        else None,
    ]
    verification = next((output.verification for output in result.outputs if output.verification), None)
    if verification is not None:
        if verification.measure == "landmark error":
            tiles.append((f"{verification.score:.2%}", "landmark error, median, of the range"))
        elif verification.measure != "signal to noise":
            tiles.append((f"{verification.score:.1%}", f"{verification.measure} with the dense model"))
        decibels = verification.decibels
        tiles.append(("equal" if decibels is None else f"{decibels:.1f} dB", "signal to noise of the outputs"))
    cells = "".join(
        f'<div class="tile"><b>{escape(tile[0])}</b><span class="soft small">{escape(tile[1])}</span></div>'
        for tile in tiles
        if tile is not None
    )
    return f'<div class="tiles">{cells}</div>'


def _sizes(result: ConvertResult) -> str:
    data = [
        Bar(f"{Path(result.source).name}, as given", result.source_bytes, human_bytes(result.source_bytes), "muted")
    ]
    dense = {output.target: output.dense_bytes for output in result.outputs}
    data += [Bar(f"dense f32 .{target}", size, human_bytes(size), "muted") for target, size in dense.items()]
    for output in result.outputs:
        text = f"{human_bytes(output.bytes)} ({output.ratio:.2f}×)"
        data.append(Bar(Path(output.path).name, output.bytes, text, "accent"))
    return section("Size", "Bytes on disk. Ratios are to the same model written dense in f32.", bars(data))


def _outputs(result: ConvertResult) -> str:
    rows = []
    for output in result.outputs:
        file = Path(output.path).name
        if output.verification is None:
            rows.append([file, output.dtype, output.note or "not verified", "", "", "", ""])
            continue
        for index, error in enumerate(output.verification.outputs):
            measure = output.verification.summary if index == 0 else ""
            decibel = "equal" if error.snr_db is None else f"{error.snr_db:.1f} dB"
            largest = f"{error.largest:.3g} ({error.relative_largest:.2%})"
            name = f"{error.name} {list(error.shape)}"
            where = file if index == 0 else ""
            rows.append([where, output.dtype, name, measure, decibel, largest, output.verification.engine])
    verification = next((output.verification for output in result.outputs if output.verification), None)
    note = "No output could be run here."
    if verification is not None and verification.random_inputs:
        note = f"Both models ran on {verification.samples} random inputs, for no calibration inputs were given."
    elif verification is not None:
        note = f"Both models ran on {verification.samples} inputs that were held back from pruning."
    head = ["file", "type", "output", "measure", "signal to noise", "largest error (of range)", "run in"]
    return section("Outputs compared with the dense model", note, table(head, rows))


def _layers(result: ConvertResult) -> str:
    layers = result.layers
    if not layers:
        return ""
    parts = [_sparsity_plot(layers)] if result.overall else []
    if any(layer.error is not None for layer in layers):
        parts.append(
            columns(
                [
                    Column(layer.error or 0.0, f"{layer.name}: relative error {layer.error or 0:.3g}", "sparse")
                    for layer in layers
                ],
                percent=True,
                caption="Squared error of each layer's output over the dense output's variance, on calibration inputs",
            )
        )
    rows = [
        [
            layer.name,
            layer.kind,
            "×".join(map(str, layer.shape)),
            f"{layer.parameters:,}",
            f"{layer.sparsity:.1%}",
            "" if layer.error is None else f"{layer.error:.3%}",
        ]
        for layer in layers
    ]
    listing = table(["layer", "kind", "weights", "count", "zeros", "error"], rows, numbers=(3, 4, 5), names=(0,))
    parts.append(f"<details><summary>All {len(layers)} layers with weights</summary>{listing}</details>")
    if result.hint:
        parts.append(f'<p class="small soft">{escape(result.hint)}</p>')
    return section("Layers", "", "".join(parts))


def _sparsity_plot(layers: Sequence[Layer]) -> str:
    chart = columns(
        [
            Column(layer.sparsity, f"{layer.name}: {layer.sparsity:.1%} zeros", "accent" if layer.pruned else "muted")
            for layer in layers
        ],
        top=1.0,
        percent=True,
        caption="Share of zeros in each layer's weights, in the order the model runs (pruned layers in blue)",
        line=2 / 3,
    )
    return f'{chart}<p class="small soft">The dashed line marks 2/3: what XNNPACK asks of a cluster as a whole.</p>'


def _rewrites(result: ConvertResult) -> str:
    parts = []
    for output in result.outputs:
        if output.rewrites:
            items = "".join(f"<li>{escape(line)}</li>" for line in output.rewrites)
            lists = f"<ul class='small'>{items}</ul>"
            if len(output.rewrites) > 12:
                lists = f"<details><summary>{len(output.rewrites)} rewrites</summary>{lists}</details>"
            parts.append(f"<p><b>{escape(Path(output.path).name)}</b></p>{lists}")
    if not parts:
        return ""
    return section(
        "Rewrites", "Changes to the graph that keep its outputs and let engines run it better.", "".join(parts)
    )


def _explain(result: ConvertResult) -> str:
    parts = [
        _explain_one(Path(output.path).name, output.explanation) for output in result.outputs if output.explanation
    ]
    return section("What runs sparse in XNNPACK (ARM, wasm)", "", "".join(parts)) if parts else ""


def _explain_one(file: str, explanation: Explanation) -> str:
    rows = [
        f'<tr><td class="name">{escape(node.name)}</td><td>{escape(node.kind)}</td><td>{_how(node)}</td>'
        f"<td>{escape(node.danger or node.rule)}{f'<br><span class=soft>{escape(node.fix)}</span>' if node.fix else ''}"
        "</td></tr>"
        for node in explanation.nodes
    ]
    hints = "".join(f"<li>{escape(line)}</li>" for line in [*explanation.dangers, *explanation.hints])
    return (
        f"<p>{escape(file)}: {escape(explanation_summary(explanation))}.</p>"
        f"{f'<ul class=small>{hints}</ul>' if hints else ''}"
        f"<details><summary>All {len(rows)} nodes</summary><div class=scroll><table><tr><th>node</th><th>kind</th>"
        f"<th>runs</th><th>what stops it, what to change</th></tr>{''.join(rows)}</table></div></details>"
    )


def _how(node: NodeReport) -> str:
    if node.sparse:
        return '<span class="yes">● sparse</span>'
    return '<span class="no">◐ in the cluster</span>' if node.in_cluster else '<span class="no">○ dense</span>'


def _examples(result: ConvertResult, examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    if examples[0].dense_top:
        body = "".join(
            f'<div class="guess"><img src="{data_uri(example.original)}" alt="{escape(example.name)}">'
            f"{_guesses('dense', example.dense_top)}{_guesses('converted', example.converted_top)}</div>"
            for example in examples
        )
        return section("Examples", "The five most likely classes of pictures held back from pruning.", body)
    cells = ["input", "dense", "sparse" if result.overall else "converted", "difference"]
    body = "".join(f'<div class="head">{name}</div>' for name in cells)
    for example in examples:
        shown = (example.original, example.dense, example.converted, example.difference)
        for name, picture in zip(cells, shown, strict=True):
            if picture is not None:
                body += (
                    f'<figure><img src="{data_uri(picture)}" alt="{name} of {escape(example.name)}" loading="lazy">'
                    f"<figcaption>{name}</figcaption></figure>"
                )
        body += f'<div class="caption">{escape(example.caption)}</div>'
    legend = '<p class="legend">Difference: <span class="key a"></span>dense <span class="key b"></span>converted</p>'
    note = "Pictures held back from pruning."
    return section("Examples", note, f'<div class="pictures">{body}</div>{legend}')


def _guesses(title: str, guesses: Iterable[Guess]) -> str:
    rows = "".join(f'<tr><td>{escape(name)}</td><td class="n">{value:.1%}</td></tr>' for name, value in guesses)
    return f"<table><tr><th>{title}</th><th></th></tr>{rows}</table>"


def _settings(result: ConvertResult) -> str:
    rows = [[name.replace("_", " "), _show(value)] for name, value in result.settings.items()]
    rows += [[name, version] for name, version in result.versions.items()]
    return section(
        "To repeat this",
        f"Took {result.seconds:.0f} seconds.",
        f"<pre>{escape(result.command)}</pre><details><summary>Settings and versions</summary>"
        f"{table(['setting', 'value'], rows)}</details>",
    )


def _show(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
