"""How far our landmarks lie from those that people marked, beside MediaPipe's on the same pictures.

    python -m pocketgraph.demos.quality_table ../shared/data/people --mediapipe-python VENV/bin/python

The folder is people/ of the data (mmpose's test pictures and a video). Each person is cut out with a quarter of room
around, as all these pipelines but one follow one person. The table and every case's figures go into a JSON file too.

Errors are means of distances: of a hand over the longer side of the box around its marked points, of a face (51 points,
without the outline) over the distance between the pupils, of a body over the length of the trunk, from the middle of
the shoulders to that of the hips. A hand or face counts as found where its error is below one half; a hand as swapped
where only the other side's lies there. PCK@0.2 is the share of a body's marked points within 0.2 trunks: none, where no
body was found.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pocketgraph import __version__
from pocketgraph.demos.annotated import BY_MACHINE, TRUNK, Case, Points, cases, groups
from pocketgraph.graphs import FaceMesh, Hands, Holistic, HolisticPeople
from pocketgraph.models.errors import EngineError, UsageError
from pocketgraph.models.files import write_atomically
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.landmarks import Landmarks

_NEAR = 0.5  # of a hand's size: what is farther is another hand, or none
_PCK = 0.2
_VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {},
    "no re-crop": {"recrop": False},
    "palm fallback": {"palm_fallback": True},
    "lite hand model": {"hand_model": "lite"},
}
_FACE_51 = [  # the 68 points without the outline, in our mesh
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
]
_EYES = slice(19, 25), slice(25, 31)
_SHOULDERS, _HIPS = [11, 12], [23, 24]
Found = dict[str, Any]
"""`left`, `right`, `face` (468) and `body` (33), or `hands`: points in pixels, None where missing."""


@dataclass
class Score:
    """What one variant found of one marked hand, face or body. `error` is None where it was not found."""

    source: str
    case: str
    part: str
    side: str
    variant: str
    error: float | None
    swapped: bool = False
    near: int = 0
    marked: int = 0


def score(case: Case, variant: str, found: Found) -> Iterator[Score]:
    """The scores of what was found in `case`."""
    for side, marked in case.hands.items():
        error = _best(_candidates(found, side), marked)
        opposite = "left" if side == "right" else "right"
        other = _best(_candidates(found, opposite), marked)
        own = _best(_candidates(found, opposite), case.hands[opposite]) if opposite in case.hands else None
        swapped = "hands" not in found and error is None and other is not None and (own is None or other < own)
        part = f"hand in {'Hands' if case.pipeline == 'hands' else 'Holistic'}"
        yield Score(case.source, case.name, part, side, variant, error, swapped)
    if case.face is not None:
        eyes = [case.face[eye].mean(axis=0) for eye in _EYES]
        pupils = float(np.hypot(*(eyes[0] - eyes[1])))
        mesh = found.get("face")
        error = None if mesh is None else float(_distances(np.array(mesh)[_FACE_51], case.face).mean()) / pupils
        yield Score(case.source, case.name, "face", "", variant, error if error is None or error <= _NEAR else None)
    if case.body is not None:
        trunk = float(np.hypot(*(case.body[_SHOULDERS].mean(axis=0) - case.body[_HIPS].mean(axis=0))))
        if np.isfinite(trunk):
            count = int(np.isfinite(case.body[:, 0]).sum())
            body = found.get("body")
            away = np.array([np.inf]) if body is None else _distances(np.array(body), case.body) / trunk
            error = None if body is None else float(away.mean())
            yield Score(case.source, case.name, "body", "", variant, error, near=int((away < _PCK).sum()), marked=count)


def hand_error(hand: Points, marked: Points) -> float:
    """Mean distance over the marked points as a part of the hand's size."""
    return float(_distances(hand, marked).mean() / (np.nanmax(marked, axis=0) - np.nanmin(marked, axis=0)).max())


def _best(hands: list[Points], marked: Points) -> float | None:
    """The error of the nearest hand, if it is near enough to be this one."""
    least = min((hand_error(np.array(hand), marked) for hand in hands), default=np.inf)
    return least if least <= _NEAR else None


def _candidates(found: Found, side: str) -> list[Points]:
    if "hands" in found:
        return list(found["hands"])
    sides = ("left", "right") if side == "any" else (side,)
    return [found[side] for side in sides if found[side] is not None]


def _distances(found: Points, marked: Points) -> Points:
    away = np.hypot(*(found[:, :2] - marked).T)
    return np.asarray(away[np.isfinite(away)])


def ours(every: list[Case], options: dict[str, Any], delegate: DelegateName) -> list[Found]:
    """What our pipelines find, Holistic with `options`."""
    with (
        Holistic(static=True, delegate=delegate, **options) as still,
        Holistic(delegate=delegate, **options) as tracked,
        Hands(static=True, delegate=delegate) as hands,
        FaceMesh(static=True, delegate=delegate) as mesh,
    ):

        def look(case: Case) -> Found:
            image = case.image
            if case.pipeline == "hands":
                return {"hands": [_pixels(hand.landmarks, image) for hand in hands(image)]}
            if case.pipeline == "face_mesh":
                return {"face": _pixels(next(iter(mesh(image)), None), image)}
            if case.pipeline == "holistic":
                still.reset()
            seen = (still if case.pipeline == "holistic" else tracked)(image)
            parts = {"left": seen.left_hand, "right": seen.right_hand, "face": seen.face, "body": seen.pose}
            return {part: _pixels(landmarks, image) for part, landmarks in parts.items()}

        return [look(case) for case in every]


def _pixels(landmarks: Landmarks | None, image: Image) -> Points | None:
    if landmarks is None:
        return None
    return np.asarray(landmarks.pixels((image.shape[1], image.shape[0])), np.float64)


def people_found(people: Path, delegate: DelegateName) -> dict[str, int]:
    """How many people of whole pictures are `marked`; how many `HolisticPeople` (up to 8) and `Holistic` find.

    A body is found where shoulders and hips lie within half a trunk of the marked ones, in the mean. `more` are those
    that `HolisticPeople` gives besides: people nobody marked, and mistakes.
    """
    counts = dict.fromkeys(("marked", "HolisticPeople", "Holistic", "more"), 0)
    with (
        HolisticPeople(8, static=True, hands=False, face=False, delegate=delegate) as several,
        Holistic(static=True, hands=False, face=False, delegate=delegate) as single,
    ):
        for _, image, bodies in groups(people):
            single.reset()
            everyone = [_pixels(one.pose, image) for one in several(image)]
            one = _pixels(single(image).pose, image)
            hits = _matched([body for body in everyone if body is not None], bodies)
            counts["marked"] += len(bodies)
            counts["HolisticPeople"] += hits
            counts["more"] += len(everyone) - hits
            counts["Holistic"] += _matched([] if one is None else [one], bodies)
    return counts


def _matched(found: list[Points], marked: list[Points]) -> int:
    """How many of the marked bodies are found, each by another one."""
    left, hits = list(found), 0
    for body in marked:
        trunk = float(np.hypot(*(body[_SHOULDERS].mean(axis=0) - body[_HIPS].mean(axis=0))))
        away = [float(_distances(one[TRUNK], body[TRUNK]).mean()) / trunk for one in left]
        if away and min(away) < _NEAR:
            del left[int(np.argmin(away))]
            hits += 1
    return hits


def peers(every: list[Case], python: str) -> tuple[str, list[Found]]:
    """MediaPipe's version and what it finds, in its own interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [{"file": f"{i}.png", "pipeline": case.pipeline} for i, case in enumerate(every)]
        for job, case in zip(jobs, every, strict=True):
            cv2.imwrite(str(Path(folder) / job["file"]), cv2.cvtColor(case.image, cv2.COLOR_RGB2BGR))
        (Path(folder) / "jobs.json").write_text(json.dumps(jobs))
        script = Path(__file__).with_name("mediapipe_peer.py")
        try:
            subprocess.run([python, str(script), folder], check=True, capture_output=True, text=True)
        except OSError as error:
            raise UsageError(f"the interpreter {python} cannot be run: {error}") from error
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise EngineError(f"MediaPipe in {python} failed: {last}; expected mediapipe 0.10.21 there") from error
        answer = json.loads((Path(folder) / "found.json").read_text())
    return answer["version"], answer["found"]


def summary(scores: list[Score]) -> list[dict[str, Any]]:
    """A row for each part, source and variant, and one over all sources that people marked.

    `error_shared` is over what all variants found, so that no variant gains by giving up on hard cases.
    """
    rows = []
    for part in dict.fromkeys(one.part for one in scores):
        sources = list(dict.fromkeys(one.source for one in scores if one.part == part))
        groups = {source: {source} for source in sources} | {"all": set(sources) - {BY_MACHINE}}
        for group, members in groups.items():
            chosen = [one for one in scores if one.part == part and one.source in members]
            variants = list(dict.fromkeys(one.variant for one in chosen))
            seen = [{_key(one) for one in chosen if one.variant == v and one.error is not None} for v in variants]
            shared = set.intersection(*seen)
            for variant in variants:
                mine = [one for one in chosen if one.variant == variant]
                found = [one for one in mine if one.error is not None]
                marked = sum(one.marked for one in mine)
                rows.append(
                    {
                        "part": part,
                        "source": group,
                        "variant": variant,
                        "marked": len(mine),
                        "found": len(found),
                        "swapped": sum(one.swapped for one in mine),
                        "error": _mean(found),
                        "shared": len(shared),
                        "error_shared": _mean([one for one in found if _key(one) in shared]),
                        "pck": sum(one.near for one in mine) / marked if marked else None,
                    }
                )
    return rows


def _key(one: Score) -> tuple[str, str, str]:
    return one.source, one.case, one.side


def _mean(scores: list[Score]) -> float | None:
    errors = [one.error for one in scores if one.error is not None]
    return float(np.mean(errors)) if errors else None


def _show(rows: list[dict[str, Any]]) -> None:
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        variants = list(dict.fromkeys(row["variant"] for row in mine))
        table = Table(part, "marked", *variants, title=_TITLES.get(part, "found, mean error"))
        for source in dict.fromkeys(row["source"] for row in mine):
            cells = {row["variant"]: row for row in mine if row["source"] == source}
            table.add_row(source, str(cells[variants[0]]["marked"]), *(_cell(cells[variant]) for variant in variants))
        shared = [next(row for row in mine if row["source"] == "all" and row["variant"] == v) for v in variants]
        table.add_row(
            "found by every one", str(shared[0]["shared"]), *(_percent(row["error_shared"]) for row in shared)
        )
        Console().print(table)


_TITLES = {"hand in Holistic": "found (swapped), mean error", "body": "found, mean error, PCK@0.2"}


def _cell(row: dict[str, Any]) -> str:
    swapped = f" ({row['swapped']})" if row["part"] == "hand in Holistic" else ""
    pck = "" if row["pck"] is None else f", {_percent(row['pck'])}"
    return f"{row['found']}{swapped}, {_percent(row['error'])}{pck}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


@click.command()
@click.argument("people", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out/quality.json"), show_default=True)
@click.option(
    "--mediapipe-python",
    envvar="POCKETGRAPH_MEDIAPIPE_PYTHON",
    help="Interpreter that has mediapipe 0.10.21, to compare with. Also POCKETGRAPH_MEDIAPIPE_PYTHON.",
)
@click.option(
    "--delegate",
    type=click.Choice(["auto", "litert", "onnxruntime", "chw"]),
    default="litert",
    show_default=True,
    help="What runs our models.",
)
def main(people: Path, output: Path, mediapipe_python: str | None, delegate: DelegateName) -> None:
    """Compare with the landmarks that people marked in the pictures of the folder PEOPLE, and make the table."""
    every = list(cases(people))
    versions = {"pocketgraph": __version__}
    scores: list[Score] = []
    for variant, options in _VARIANTS.items():
        answers = ours(every, options, delegate)
        for case, found in zip(every, answers, strict=True):
            # the options are of Holistic's hands
            scores += (one for one in score(case, variant, found) if not options or one.part == "hand in Holistic")
    if mediapipe_python:
        versions["mediapipe"], answers = peers(every, mediapipe_python)
        for case, found in zip(every, answers, strict=True):
            scores += score(case, f"MediaPipe {versions['mediapipe']}", found)
    rows = summary(scores)
    crowd = people_found(people, delegate)
    output.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "versions": versions,
        "delegate": delegate,
        "rows": rows,
        "people": crowd,
        "scores": [asdict(one) for one in scores],
    }
    write_atomically(output, json.dumps(record, indent=1) + "\n")
    _show(rows)
    several, more = crowd["HolisticPeople"], crowd["more"]
    print(
        f"of {crowd['marked']} people marked in whole pictures HolisticPeople finds {several}, and {more} more;",
        end=" ",
    )
    print(f"Holistic finds {crowd['Holistic']}")
    print(f"all figures: {output}")


if __name__ == "__main__":
    main()
