"""The HTML report: one page with everything in it, and nothing a hostile name could break."""

from __future__ import annotations

import base64
import html.parser
import json
import re

import cv2
import numpy as np
import pytest

from pocketgraph.convert import pictures, plots
from pocketgraph.convert.examples import Example
from pocketgraph.convert.explanation import Explanation, NodeReport
from pocketgraph.convert.report import html_report
from pocketgraph.convert.result import Account, ConvertResult, Layer
from pocketgraph.convert.verify import OutputError, Verification
from pocketgraph.models.preprocess import Preprocess

VERIFIED = Verification(
    "LiteRT 2", 6, False, [OutputError("mask", (1, 4, 4, 1), 21.5, 0.4, 0.41, 0.01)], "mask IoU", 0.97, 0.9, "good"
)
EXPLAINED = Explanation(
    "xnnpack",
    [
        NodeReport(0, "CONV_2D", "stem", role="start", in_cluster=True),
        NodeReport(1, "CONV_2D", "project", in_cluster=True, sparse=True, zeros=70, weights=100),
        NodeReport(2, "CONV_2D", "head", weights=50, rule="a head after pooling", fix="make it fully connected"),
    ],
    [],
    ["store zeros sparsely"],
)
LAYERS = [
    Layer("stem", "CONV_2D", (8, 3, 3, 3), 216, 0.0),
    Layer("project", "CONV_2D", (10, 1, 1, 10), 100, 0.7, 0.03, True),
]


def account(**changes) -> ConvertResult:
    output = Account("out/a.tflite", "tflite", "f32", 300, 1000, VERIFIED, "", ["pad first"], EXPLAINED)
    facts = {
        "source": "selfie",
        "source_bytes": 600,
        "task": "segmentation",
        "parameters": 316,
        "sparsity": 0.7,
        "overall": 0.22,
        "outputs": [output],
        "layers": LAYERS,
        "settings": {"sparsity": 0.7, "method": "obc", "reestimate": True, "layers": {}},
        "versions": {"pocketgraph": "0"},
        "command": "pocketgraph convert selfie -o out/a.tflite",
        "seconds": 3.0,
    }
    return ConvertResult(**(facts | changes))


class Tags(html.parser.HTMLParser):
    """Checks that tags nest, and collects them."""

    VOID = frozenset({"meta", "img", "br", "line", "rect", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_says_what_a_reader_looks_for() -> None:
    page = html_report(account())
    text = re.sub(r"<[^>]+>", " ", page)
    for wanted in (
        "a.tflite is 30% of the dense f32 file",
        "mask IoU 97.00%",
        "21.5 dB",
        "pad first",
        "1 of 2 1x1 convolutions and fully connected layers run sparse, 70% of their weights are zero",
        "make it fully connected",
        "pocketgraph convert selfie -o out/a.tflite",
    ):
        assert wanted in text, wanted
    Tags(page)


def test_the_page_loads_nothing_from_outside() -> None:
    example = Example("p", *[np.zeros((8, 8, 3), np.uint8)] * 4, caption="p: mask IoU 97 %")
    page = html_report(account(), [example])
    tags = Tags(page)
    addresses = [v for _, attrs in tags.seen for k, v in attrs.items() if k in ("src", "href", "data", "action")]
    assert len(addresses) == 4
    assert all(address.startswith("data:image/") for address in addresses)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert "url(" not in page
    assert "@import" not in page


def test_names_from_a_model_cannot_put_markup_on_the_page() -> None:
    nasty = '<script>alert("x")</script>'
    verified = Verification("e", 1, False, [OutputError(nasty, (1,), 9.0, 1, 1, 1)], "mask IoU", 0.5, 0.5, "poor")
    explained = Explanation("xnnpack", [NodeReport(0, nasty, nasty, rule=nasty, fix=nasty, danger=nasty)], [], [nasty])
    output = Account(f"{nasty}.tflite", "tflite", "f32", 1, 1, verified, nasty, [nasty], explained)
    example = Example(nasty, *[np.zeros((8, 8, 3), np.uint8)] * 4, caption=nasty)
    guess = Example(nasty, np.zeros((8, 8, 3), np.uint8), dense_top=[(nasty, 1.0)], converted_top=[(nasty, 1.0)])
    result = account(
        source=nasty,
        outputs=[output],
        layers=[Layer(nasty, nasty, (1,), 1, 0.5, 0.5, True)],
        settings={nasty: nasty},
        versions={nasty: nasty},
        command=nasty,
    )
    for examples in ([example], [guess]):
        page = html_report(result, examples)
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        Tags(page)


def test_an_output_that_was_not_verified_says_why() -> None:
    output = Account("a.onnx", "onnx", "f32", 900, 1000, None, "not verified: pip install 'pocketgraph[onnx]'")
    result = account(outputs=[output], layers=[])
    assert result.grade == "unverified"
    page = html_report(result)
    assert "pip install &#x27;pocketgraph[onnx]&#x27;" in page
    assert "no output was verified" in page


@pytest.mark.parametrize(
    ("grade", "words"),
    [("equal", "answers as"), ("good", "stays close"), ("fair", "differs visibly"), ("poor", "drifted far")],
)
def test_the_verdict_is_that_of_the_worst_output(grade, words) -> None:
    worst = Verification("e", 1, True, [], "mask IoU", 0.5, 0.5, grade)
    outputs = [
        Account("a.tflite", "tflite", "f32", 300, 1000, worst),
        Account("b.tflite", "tflite", "f32", 500, 1000, Verification("e", 1, True, [], "mask IoU", 1, 1, "equal")),
    ]
    verdict = account(outputs=outputs).verdict
    assert words in verdict
    assert verdict.startswith("a.tflite is 30% of")
    assert "on 1 random input" in verdict


def test_the_account_is_json_without_infinity() -> None:
    data = account(seconds=float("inf")).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["seconds"] is None
    assert data["outputs"][0]["ratio"] == 0.3
    assert data["outputs"][0]["explanation"]["nodes"][1]["sparse"] is True


def test_columns_are_as_high_as_their_values() -> None:
    chart = plots.columns(
        [plots.Column(0.5, "half"), plots.Column(2.0, "over"), plots.Column(float("nan"), "none")], top=1
    )
    heights = [float(value) for value in re.findall(r'<rect[^>]* height="([\d.]+)"', chart)]
    assert heights == [50, 100, 0]


def test_bars_share_one_scale() -> None:
    chart = plots.bars([plots.Bar("a", 50, "50 kB"), plots.Bar("b", 200, "200 kB")])
    assert [float(value) for value in re.findall(r"width:([\d.]+)%", chart)] == [25, 100]
    assert plots.bars([]) == '<div class="bars"></div>'


@pytest.mark.parametrize(("value", "end"), [(0, 1), (0.03, 0.05), (0.2, 0.2), (7, 10), (1.2e-5, 2e-5), (2.2, 2.5)])
def test_axes_end_at_round_numbers(value, end) -> None:
    assert plots.round_up(value) == pytest.approx(end)


def test_the_picture_behind_an_input_is_found_again() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    preprocess = Preprocess(scale=1 / 127.5, offset=(-1.0, -0.9, -1.1))
    assert np.array_equal(pictures.from_input(preprocess(rgb, 6, 5)[None], preprocess), rgb)
    assert pictures.from_input(np.zeros((1, 10), np.float32), preprocess) is None


def test_masks_become_probabilities() -> None:
    logits = np.array([-100.0, 0.0, 100.0], np.float32).reshape(1, 1, 3, 1)
    assert pictures.probability(logits)[0] == pytest.approx([0, 0.5, 1], abs=1e-6)
    kept = np.array([0.0, 0.25, 1.0], np.float32).reshape(1, 1, 3, 1)
    assert pictures.probability(kept)[0] == pytest.approx([0, 0.25, 1])
    background_and_person = np.array([[0.0, 0.0], [5.0, -5.0]], np.float32).reshape(1, 1, 2, 2)
    assert pictures.probability(background_and_person)[0] == pytest.approx([0.5, 0], abs=1e-4)


def test_difference_is_blue_where_the_mask_was_lost_and_orange_where_it_grew() -> None:
    dense, sparse = np.array([[1.0, 0.0, 1.0]], np.float32), np.array([[0.0, 1.0, 1.0]], np.float32)
    lost, grown, same = pictures.difference(dense, sparse, (1, 3))[0]
    assert tuple(lost) == pictures.DENSE_COLOUR
    assert tuple(grown) == pictures.SPARSE_COLOUR
    assert tuple(same) == (244, 244, 244)


def test_landmarks_are_found_in_flat_outputs() -> None:
    hand = np.tile(np.array([10.0, 20.0, 5.0], np.float32), 21)[None]
    assert pictures.landmark_points(hand, 224, 224).tolist() == [[10.0, 20.0]] * 21
    pose = np.tile(np.array([0.5, 0.25, 0, 1, 1], np.float32), 39)[None]
    assert pictures.landmark_points(pose, 100, 200).tolist() == [[100.0, 25.0]] * 39
    assert pictures.landmark_points(np.zeros((1, 7), np.float32), 8, 8) is None


def test_embedded_pictures_decode_to_what_was_drawn() -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, :30, 0] = 255  # the left half red
    kind, _, data = pictures.data_uri(rgb).partition(",")
    assert kind == "data:image/jpeg;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert decoded.shape == rgb.shape
    assert np.abs(decoded[20, 10].astype(int) - (255, 0, 0)).max() < 12
    assert np.abs(decoded[20, 50].astype(int)).max() < 12
