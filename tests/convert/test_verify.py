"""The numbers that say how far a converted model is from the dense one."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.convert.verify import guess_task, mask_iou, random_samples, same_top1, verify
from pocketgraph.models.errors import UnsupportedError
from pocketgraph.runtime import RunnableModel, TensorSpec


class Scaled:
    """A delegate whose one output is its input times a factor, plus an offset."""

    def __init__(self, shape: tuple[int, ...], factor: float = 1.0, offset: float = 0.0, name: str = "x") -> None:
        self.inputs = [TensorSpec(name, shape, np.dtype(np.float32))]
        self.outputs = [TensorSpec(f"{name}/y", shape, np.dtype(np.float32))]
        self._factor, self._offset = np.float32(factor), np.float32(offset)

    def run(self, inputs):
        return {self.outputs[0].name: inputs[self.inputs[0].name] * self._factor + self._offset}

    def close(self) -> None: ...


def compare(task, dense, converted, arrays, **options):
    samples = [{"x": np.asarray(array, np.float32)} for array in arrays]
    return verify(RunnableModel(dense), RunnableModel(converted), samples, task, engine="test", **options)


def test_signal_to_noise_and_errors_are_those_of_the_definition() -> None:
    # dense 1..4, converted 1.1 times that: noise is a hundredth of the signal's power, 20 dB
    result = compare("other", Scaled((1, 4)), Scaled((1, 4), 1.1, name="other"), [[[1, 2, 3, 4]]])
    (output,) = result.outputs
    assert output.snr_db == pytest.approx(20, abs=1e-4)
    assert output.largest == pytest.approx(0.4, rel=1e-5)
    assert output.relative_largest == pytest.approx(0.4 / 3, rel=1e-5)  # the range is 4 - 1
    assert output.relative_mean == pytest.approx(0.25 / 3, rel=1e-5)
    assert (result.measure, result.grade) == ("signal to noise", "fair")
    assert "20.0 dB" in result.summary


def test_sums_run_over_all_samples() -> None:
    # signal 1 + 9, noise 4 in the second sample only would differ from a mean of decibels
    dense, converted = Scaled((1, 1)), Scaled((1, 1), offset=1)
    assert compare("other", dense, converted, [[[1]], [[3]]]).outputs[0].snr_db == pytest.approx(10 * np.log10(10 / 2))


def test_equal_outputs_have_no_noise_and_say_so() -> None:
    result = compare("other", Scaled((1, 4)), Scaled((1, 4)), [[[1, 2, 3, 4]]])
    assert result.outputs[0].snr_db is None
    assert (result.grade, result.summary) == ("equal", "outputs equal to the dense model's")


def test_a_mask_is_cut_at_one_half() -> None:
    dense = np.array([[0.9, 0.6, 0.4, 0.1]], np.float32).reshape(1, 2, 2, 1)
    converted = np.array([[0.9, 0.4, 0.6, 0.1]], np.float32).reshape(1, 2, 2, 1)
    assert mask_iou(dense, converted) == pytest.approx(1 / 3)  # one pixel in both, three in either
    assert mask_iou(dense * 8 - 4, converted * 8 - 4) == pytest.approx(1 / 3)  # logits are cut at 0


def test_masks_of_several_classes_average_over_those_present() -> None:
    dense = np.array([0, 1, 1, 2]).reshape(1, 4)
    converted = np.array([0, 1, 2, 2]).reshape(1, 4)
    assert mask_iou(dense, converted) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert mask_iou(np.eye(3, dtype=np.float32)[dense], np.eye(3, dtype=np.float32)[converted]) == pytest.approx(0.5)


def test_two_empty_masks_agree() -> None:
    assert mask_iou(np.zeros((1, 2, 2, 1), np.float32), np.zeros((1, 2, 2, 1), np.float32)) == 1
    assert mask_iou(np.zeros((1, 2, 2, 1), np.float32), np.ones((1, 2, 2, 1), np.float32)) == 0


def test_segmentation_gives_the_mean_and_the_worst_iou() -> None:
    shape = (1, 1, 4, 1)
    masks = [np.reshape([1.0, 1.0, 1.0, 0.0], shape), np.reshape([1.0, 0.6, 0.0, 0.0], shape)]
    # 0.8 times 0.6 falls under the threshold: IoU 1 for the first mask, 1/2 for the second
    result = compare("segmentation", Scaled(shape), Scaled(shape, 0.8), masks)
    assert (result.measure, result.score, result.worst, result.grade) == ("mask IoU", 0.75, 0.5, "poor")
    assert result.per_sample == [1.0, 0.5]
    assert "75.00%" in result.summary


def test_top1_agreement_is_the_share_of_equal_winners() -> None:
    assert same_top1(np.array([[1, 3, 2]]), np.array([[0, 9, 8]])) == 1
    assert same_top1(np.array([[1, 3, 2]]), np.array([[0, 8, 9]])) == 0
    result = compare("classifier", Scaled((1, 3)), Scaled((1, 3), -1), [[[1, 3, 2]], [[0, 0, 0]]])
    assert (result.measure, result.score, result.grade) == ("top-1 agreement", 0.5, "poor")


def test_landmark_error_is_relative_to_the_range() -> None:
    points = np.arange(101, dtype=np.float32)[None]
    result = compare("landmarks", Scaled((1, 101)), Scaled((1, 101), 1.02), [points])
    assert (result.measure, result.grade) == ("landmark error", "good")
    assert result.score == pytest.approx(0.01, rel=1e-3)  # 2 % of the middle of the range
    assert result.worst == pytest.approx(0.019, rel=1e-3)


def test_a_converted_model_that_gives_nan_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"'x/y' .* NaN"):
        compare("other", Scaled((1, 2)), Scaled((1, 2), np.nan), [[[1, 2]]])


def test_where_the_dense_model_overflows_nothing_is_compared() -> None:
    result = compare("other", Scaled((1, 3)), Scaled((1, 3), 1.1), [[[1, np.inf, 2]]])
    assert result.outputs[0].snr_db == pytest.approx(20, abs=1e-4)


def test_models_that_do_not_pair_are_refused() -> None:
    two = Scaled((1, 2))
    two.outputs = [*two.outputs, *two.outputs]
    with pytest.raises(UnsupportedError, match="2 outputs, the dense one 1 and 1"):
        compare("other", Scaled((1, 2)), two, [[[1, 2]]])


@pytest.mark.parametrize(
    ("kind", "shapes", "task"),
    [
        ("landmarks", [(1, 63), (1, 1)], "landmarks"),
        ("detector", [(1, 896, 16), (1, 896, 1)], "other"),
        ("", [(1, 1000)], "classifier"),
        ("", [(1, 256, 256, 1)], "segmentation"),
        ("", [(1, 3)], "other"),
        ("", [(1, 10), (1, 10)], "other"),
        ("", [], "other"),
    ],
)
def test_the_task_is_the_zoos_word_or_guessed_from_shapes(kind, shapes, task) -> None:
    assert guess_task(kind, shapes) == task


def test_random_inputs_repeat_with_their_seed_and_fit_the_model() -> None:
    model = RunnableModel(Scaled((1, 8, 8, 3)))
    first, again, other = (random_samples(model, 2, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0]["x"], other[0]["x"])
    assert first[0]["x"].shape == (1, 8, 8, 3)
    assert 0 <= first[0]["x"].min() < first[0]["x"].max() < 1


def test_answers_that_hardly_vary_are_noticed() -> None:
    varied = [[[1, 2, 3, 4]], [[4, 3, 2, 1]]]
    assert not compare("other", Scaled((1, 4)), Scaled((1, 4), 1.1, name="other"), varied).alike
    dense, other = Scaled((1, 4), 1e-5, 1.0), Scaled((1, 4), 1e-5, 1.01, name="other")
    assert compare("other", dense, other, varied).alike
    assert not compare("other", dense, other, varied[:1]).alike
