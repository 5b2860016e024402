"""Our nets have the published structure, and the trained ones the published behaviour."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketgraph.models import zoo
from pocketgraph.models.architectures.builder import NetBuilder
from pocketgraph.models.architectures.efficientnet_lite import efficientnet_lite0
from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
from pocketgraph.models.architectures.mobilenet_v3 import mobilenet_v3_large
from pocketgraph.models.architectures.random_weights import divisible
from pocketgraph.models.errors import FormatError, GraphError, UsageError
from pocketgraph.models.files import read_model
from pocketgraph.models.graph import Model
from pocketgraph.models.preprocess import Preprocess
from pocketgraph.models.summary import summarize
from pocketgraph.models.torch_pickle import read_state_dict
from pocketgraph.runtime import load_model


def _shapes(model: Model, ending: str) -> list[tuple[int, ...]]:
    return [op.outputs[0].shape for op in model.main.ops if op.name.endswith(ending)]


@pytest.mark.parametrize(
    ("model", "parameters", "convolutions"),
    [
        # the papers' 4.2 M, 2.6 M, 3.4 M (3.5 M with the classifier's bias and batch norm) and 5.4 M
        (mobilenet_v1(1.0), 4_221_032, (14, 13)),
        (mobilenet_v1(0.75), 2_577_352, (14, 13)),
        (mobilenet_v2(1.0), 3_487_816, (35, 17)),
        (mobilenet_v3_large(), 5_470_848, (48, 15)),
    ],
    ids=lambda value: value.description if isinstance(value, Model) else None,
)
def test_random_nets_have_the_published_size(model: Model, parameters: int, convolutions: tuple[int, int]) -> None:
    model.validate()
    summary = summarize(model)
    assert summary["parameters"] == parameters
    assert (summary["op_kinds"]["CONV_2D"], summary["op_kinds"]["DEPTHWISE_CONV_2D"]) == convolutions
    assert summary["outputs"] == [{"name": "probabilities", "shape": [1, 1000], "dtype": "float32"}]


def test_widths_are_rounded_as_the_family_does() -> None:
    assert [divisible(c) for c in (1, 8, 11.2, 16 * 1.4, 32 * 0.35, 24 * 0.5)] == [8, 8, 16, 24, 16, 16]
    assert _shapes(mobilenet_v2(0.35), "project")[0] == (1, 112, 112, 8)
    assert _shapes(mobilenet_v2(1.4), "head")[0] == (1, 7, 7, 1792)


@pytest.mark.parametrize(
    "model",
    [
        mobilenet_v1(0.25, size=64, classes=10),
        mobilenet_v1(0.25, size=64, classes=10, head="conv"),
        mobilenet_v2(0.35, size=64, classes=10),
        mobilenet_v3_large(size=64, classes=10),
    ],
    ids=lambda model: model.description,
)
def test_random_nets_run_and_answer_depends_on_the_picture(model: Model) -> None:
    random = np.random.default_rng(0)
    with load_model(model, "litert") as runnable:
        answers = [runnable(random.uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)) for _ in range(2)]
    for answer in answers:
        assert answer.shape == (1, 10)
        assert answer.sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_the_same_seed_gives_the_same_weights() -> None:
    def first_weights(seed: int) -> np.ndarray:
        return mobilenet_v1(0.25, seed, size=32).main.ops[0].input(1).dense()

    np.testing.assert_array_equal(first_weights(3), first_weights(3))
    assert not np.array_equal(first_weights(3), first_weights(4))


def test_sizes_out_of_range_are_refused() -> None:
    for make in (lambda: mobilenet_v1(0), lambda: mobilenet_v2(size=0), lambda: mobilenet_v3_large(classes=0)):
        with pytest.raises(UsageError, match="expected"):
            make()


def test_a_layer_that_does_not_fit_is_refused_by_name() -> None:
    net = NetBuilder((1, 8, 8, 3))
    zeros = np.zeros(4, np.float32)
    with pytest.raises(GraphError, match=r"stem: weights \[4, 3, 3, 2\] do not fit the input \[1, 8, 8, 3\]"):
        net.conv(np.zeros((4, 3, 3, 2), np.float32), zeros, "stem")
    with pytest.raises(GraphError, match=r"stem: bias \[4\], expected \[5\]"):
        net.conv(np.zeros((5, 3, 3, 3), np.float32), zeros, "stem")
    with pytest.raises(GraphError, match=r"a \[9, 9\] kernel is larger than the input"):
        net.conv(np.zeros((4, 9, 9, 3), np.float32), zeros, "stem", padding="VALID")
    with pytest.raises(GraphError, match="cannot reshape"):
        net.reshape((1, 7), "flat")


def _random_state() -> dict[str, np.ndarray]:
    """A state dict with EfficientNet-Lite0's names and shapes and random values, batch norm far from the identity."""
    random = np.random.default_rng(0)
    state: dict[str, np.ndarray] = {}

    def conv(name: str, *shape: int) -> None:
        fan_in = np.prod(shape[1:])
        state[f"{name}.weight"] = (random.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)

    def norm(name: str, channels: int) -> None:
        for part, low, high in (("weight", 0.5, 2), ("bias", -1, 1), ("running_mean", -1, 1), ("running_var", 0.5, 2)):
            state[f"{name}.{part}"] = random.uniform(low, high, channels).astype(np.float32)

    conv("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    channels, index = 32, 0
    stages = [
        (1, 3, 1, 16),
        (2, 3, 6, 24),
        (2, 5, 6, 40),
        (3, 3, 6, 80),
        (3, 5, 6, 112),
        (4, 5, 6, 192),
        (1, 3, 6, 320),
    ]
    for repeats, kernel, expand, out in stages:
        for _ in range(repeats):
            block, wide = f"_blocks.{index}", channels * expand
            if expand != 1:
                conv(f"{block}._expand_conv", wide, channels, 1, 1)
                norm(f"{block}._bn0", wide)
            conv(f"{block}._depthwise_conv", wide, 1, kernel, kernel)
            norm(f"{block}._bn1", wide)
            conv(f"{block}._project_conv", out, wide, 1, 1)
            norm(f"{block}._bn2", out)
            channels, index = out, index + 1
    conv("_conv_head", 1280, 320, 1, 1)
    norm("_bn1", 1280)
    conv("_fc", 1000, 1280)
    state["_fc.bias"] = random.uniform(-1, 1, 1000).astype(np.float32)
    return state


def test_efficientnet_folds_batch_norm_into_the_stem() -> None:
    """Oracle: convolution, batch norm (epsilon 1e-3) and ReLU6 written out in NumPy; tolerance 1e-4 absolute."""
    state = _random_state()
    model = efficientnet_lite0(state)
    model.validate()
    assert Counter(op.kind for op in model.main.ops) == {
        "CONV_2D": 33, "DEPTHWISE_CONV_2D": 16, "ADD": 9, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1,
    }  # fmt: skip
    stem = model.main.ops[0].outputs[0]
    model.graphs[0] = model.main.extract([stem])
    model.signatures.clear()
    picture = np.random.default_rng(1).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    with load_model(model, "litert") as runnable:
        found = runnable(picture)
    padded = np.pad(picture[0], ((0, 1), (0, 1), (0, 0)))  # TensorFlow's SAME: all of the odd padding at the end
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))[::2, ::2]
    raw = np.einsum("yxcij,ocij->yxo", windows, state["_conv_stem.weight"])
    gamma, beta, mean, variance = (state[f"_bn0.{p}"] for p in ("weight", "bias", "running_mean", "running_var"))
    expected = np.clip((raw - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0, 6)
    assert 0.05 < np.mean(expected == 0) < 0.95
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("_blocks.3._bn1.running_var"), r"lack '_blocks.3._bn1.running_var'"),
        (
            lambda s: s.update({"_fc.bias": np.zeros(1001, np.float32)}),
            r"'_fc.bias' is float32\[1001\].*float32\[1000\]",
        ),
        (lambda s: s.update({"_fc.bias": np.zeros(1000)}), r"'_fc.bias' is float64\[1000\]"),
        (lambda s: s["_bn0.running_var"].__setitem__(0, -1), "_bn0.running_var has a negative"),
        (lambda s: s["_bn0.running_var"].__setitem__(0, np.nan), "_bn0.running_var has a negative or undefined"),
    ],
)
def test_weights_that_do_not_fit_efficientnet_are_named(change: object, message: str) -> None:
    state = _random_state()
    change(state)
    with pytest.raises(FormatError, match=message):
        efficientnet_lite0(state)


def _top_1(model: Model, preprocess: Preprocess, data: Path) -> float:
    """Fraction of every fourth picture of the sample (100 of 400) whose class comes first."""
    classes = sorted((data / "imagenet" / "imagenet_lsvrc_2015_synsets.txt").read_text().split())
    pictures = sorted((data / "imagenet" / "images").glob("*.JPEG"))[::4]
    assert len(pictures) == 100
    right = 0
    with load_model(model, "litert") as runnable:
        for path in pictures:
            pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            probabilities = runnable(preprocess(pixels, 224, 224)[None])
            right += classes[int(np.argmax(probabilities))] == path.name.partition("_")[0]
    return right / len(pictures)


@pytest.mark.data
def test_efficientnet_lite0_recognises_pictures(shared_data: Path) -> None:
    """88 % on the whole sample of training-like pictures; a wrong padding or range costs 10 points."""
    weights = next((shared_data / "weights" / "efficientnet_lite0").glob("*.pth"))
    model = efficientnet_lite0(read_state_dict(weights.read_bytes()))
    assert _top_1(model, zoo.entry("efficientnet_lite0").preprocess, shared_data) >= 0.84


@pytest.mark.data
def test_the_tensorflow_js_mobilenet_recognises_pictures(shared_data: Path) -> None:
    """85.4 % on the whole sample, by its description."""
    model = read_model(shared_data / "weights" / "mobilenet_v1_0.75_224_tfjs" / "model.json")
    assert summarize(model)["op_kinds"] == {
        "CONV_2D": 15, "DEPTHWISE_CONV_2D": 13, "RESHAPE": 2, "MEAN": 1, "SOFTMAX": 1,
    }  # fmt: skip
    preprocess = Preprocess("crop", scale=1 / 127.5, offset=-1, crop_fraction=0.875)
    assert _top_1(model, preprocess, shared_data) >= 0.8
