"""`pocketgraph convert` from the command line: files written, outputs verified, everything accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketgraph import convert_model, load_model, read_model
from pocketgraph.__main__ import main
from pocketgraph.convert import PruneConfig
from pocketgraph.convert.command import output_files
from pocketgraph.convert.explanation import distinct_names
from pocketgraph.models.errors import UsageError
from pocketgraph.models.files import write_model
from pocketgraph.models.graph import Graph, Model, Op, Tensor

SIDE, CHANNELS = 16, 64


def small_model() -> Model:
    """A stride-2 stem, two 1x1 convolutions and a 1x1 head to one mask channel with a sigmoid."""
    rng = np.random.default_rng(0)

    def conv(x: Tensor, name: str, channels: int, kernel: int, stride: int = 1) -> Op:
        shape = (channels, kernel, kernel, x.shape[3])
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        w = Tensor(f"{name}/w", shape, data=(scale * rng.normal(size=shape)).astype(np.float32))
        b = Tensor(f"{name}/b", (channels,), data=(0.1 * rng.normal(size=channels)).astype(np.float32))
        side = x.shape[1] // stride
        attrs = {"padding": "SAME", "stride_w": stride, "stride_h": stride, "fused_activation_function": "RELU6"}
        return Op("CONV_2D", [x, w, b], [Tensor(name, (1, side, side, channels))], attrs)

    x = Tensor("picture", (1, 2 * SIDE, 2 * SIDE, 3))
    ops = [conv(x, "stem", CHANNELS, 3, 2)]
    ops += [conv(ops[-1].outputs[0], "first", CHANNELS, 1)]
    ops += [conv(ops[-1].outputs[0], "second", CHANNELS, 1)]
    ops += [conv(ops[-1].outputs[0], "head", 1, 1)]
    ops[-1].attrs["fused_activation_function"] = "NONE"
    ops += [Op("LOGISTIC", [ops[-1].outputs[0]], [Tensor("mask", (1, SIDE, SIDE, 1))])]
    return Model([Graph("main", [x], [ops[-1].outputs[0]], ops)])


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a model and calibration inputs, made the working folder."""
    write_model(small_model(), tmp_path / "model.tflite")
    inputs = np.random.default_rng(1).random((12, 2 * SIDE, 2 * SIDE, 3), np.float32)
    np.save(tmp_path / "inputs.npy", inputs)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_in_half_precision_stays_so_unless_told(place, capsys) -> None:
    run(capsys, "convert model.tflite -o half.tflite --dtype f16")
    run(capsys, "convert half.tflite -o again.tflite")
    run(capsys, "convert half.tflite -o wide.tflite --dtype f32")
    sizes = {name: (place / f"{name}.tflite").stat().st_size for name in ("half", "again", "wide", "model")}
    assert sizes["again"] == sizes["half"] < 0.8 * sizes["wide"]


def run(capsys, line: str) -> str:
    """Run the command line, which must succeed; returns stdout."""
    assert main(line.split()) == 0
    return capsys.readouterr().out


def account(capsys, line: str) -> dict:
    return json.loads(run(capsys, f"{line} --json -"))


def test_a_format_changes_without_pruning_or_calibration(capsys, place) -> None:
    data = account(capsys, "convert model.tflite -o new/model.onnx -o copy.tflite")
    assert [Path(output["path"]).name for output in data["outputs"]] == ["model.onnx", "copy.tflite"]
    for output in data["outputs"]:
        assert output["verification"]["grade"] == "equal"
        assert output["verification"]["random_inputs"] is True
        assert output["bytes"] == Path(output["path"]).stat().st_size
    assert data["sparsity"] == 0
    assert not list(place.rglob("*.part*"))
    x = np.load("inputs.npy")[:1]
    with load_model("model.tflite", "litert") as dense, load_model("new/model.onnx", "onnxruntime") as converted:
        np.testing.assert_allclose(converted(x), dense(x), atol=1e-5)


def test_pruned_layers_hold_the_zeros_that_were_asked_for(capsys) -> None:
    line = "convert model.tflite -o out.tflite --sparsity 0.75 --method magnitude --no-reestimate"
    data = account(capsys, line)
    zeros = {layer["name"]: (layer["sparsity"], layer["pruned"]) for layer in data["layers"]}
    assert zeros == {
        "stem": (0, False),
        "first": (pytest.approx(0.75, abs=1 / CHANNELS**2), True),
        "second": (pytest.approx(0.75, abs=1 / CHANNELS**2), True),
        "head": (0, False),
    }
    assert data["sparsity"] == pytest.approx(0.75, abs=1e-3)
    weights = 27 * CHANNELS + 2 * CHANNELS**2 + CHANNELS
    assert data["parameters"] == weights
    assert data["overall"] == pytest.approx(0.75 * 2 * CHANNELS**2 / weights, abs=1e-3)
    # the file holds what the account says
    stored = {t.name: t for t in read_model("out.tflite").main.tensors() if t.sparsity is not None}
    assert len(stored) == 2
    assert all(np.count_nonzero(t.dense()) == CHANNELS**2 / 4 for t in stored.values())
    assert data["outputs"][0]["ratio"] < 0.6


def test_one_layer_may_be_spared(capsys) -> None:
    line = "convert model.tflite -o out.tflite --sparsity 0.5 --layer *first*=0 --method magnitude --no-reestimate"
    zeros = {layer["name"]: round(layer["sparsity"], 3) for layer in account(capsys, line)["layers"]}
    assert zeros == {"stem": 0, "first": 0, "second": 0.5, "head": 0}


def test_calibrated_pruning_is_verified_on_inputs_held_back(capsys) -> None:
    data = account(capsys, "convert model.tflite -o out.tflite --sparsity 0.5 --calibration inputs.npy")
    verification = data["outputs"][0]["verification"]
    assert verification["samples"] == 3  # a quarter of twelve
    assert verification["random_inputs"] is False
    assert verification["measure"] == "mask IoU"
    assert len(verification["per_sample"]) == 3
    assert "9 samples to tune with" in data["settings"]["calibration"]
    errors = [layer["error"] for layer in data["layers"] if layer["pruned"]]
    assert len(errors) == 2
    assert all(0 < error < 1 for error in errors)


def test_other_inputs_may_verify(capsys) -> None:
    np.save("other.npy", np.load("inputs.npy")[:5])
    line = "convert model.tflite -o out.tflite --sparsity 0.5 --calibration inputs.npy --verify-with other.npy"
    data = account(capsys, line)
    assert data["outputs"][0]["verification"]["samples"] == 5
    assert "12 samples to tune with" in data["settings"]["calibration"]


def test_obc_with_reestimation_is_closer_than_bare_magnitude(capsys) -> None:
    line = "convert model.tflite -o out.tflite --sparsity 0.7 --verify-with inputs.npy"
    bare = account(capsys, f"{line} --method magnitude --no-reestimate")
    best = account(capsys, f"{line} --calibration inputs.npy")

    def decibels(data: dict) -> float:
        return data["outputs"][0]["verification"]["outputs"][0]["snr_db"]

    assert decibels(best) > decibels(bare) + 1


@pytest.mark.train
@pytest.mark.parametrize("masks", ["fixed", "rigl"])
def test_recovery_brings_the_outputs_closer_and_keeps_the_zeros(capsys, masks) -> None:
    line = "convert model.tflite -o out.tflite --sparsity 0.8 --calibration inputs.npy --verify-with inputs.npy"
    before = account(capsys, line)
    after = account(capsys, f"{line} --recover 60 --recover-masks {masks}")

    def noise(data: dict) -> float:
        return data["outputs"][0]["verification"]["outputs"][0]["relative_mean"]

    if masks == "fixed":  # a few steps are too few to make up for moved zeros
        assert noise(after) < noise(before)
    assert after["sparsity"] == pytest.approx(before["sparsity"], abs=1e-3)


def test_half_floats_are_smaller(capsys) -> None:
    line = "convert model.tflite --sparsity 0.75 --method magnitude --no-reestimate"
    full = account(capsys, f"{line} -o full.tflite")["outputs"][0]
    half = account(capsys, f"{line} -o half.tflite --dtype f16")["outputs"][0]
    assert half["dtype"] == "f16"
    assert half["bytes"] < 0.85 * full["bytes"]
    assert half["dense_bytes"] == full["dense_bytes"]


@pytest.mark.parametrize("calibration", ["", " --calibration inputs.npy"])
def test_bytes_are_smaller_still(capsys, calibration) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="the extra int8 is not installed")
    output = account(capsys, f"convert model.tflite -o out.tflite --dtype int8{calibration}")["outputs"][0]
    assert output["ratio"] < 0.6
    assert output["verification"]["outputs"][0]["snr_db"] > 20
    assert any("int8" in line for line in output["rewrites"])


def test_the_same_command_gives_the_same_file(capsys) -> None:
    for name in ("a", "b"):
        run(capsys, f"convert model.tflite -o {name}.tflite --sparsity 0.5 --calibration inputs.npy --seed 3")
    assert Path("a.tflite").read_bytes() == Path("b.tflite").read_bytes()


def test_report_and_json_are_written_beside_the_model(capsys) -> None:
    line = "convert model.tflite -o out.tflite --sparsity 0.5 --calibration inputs.npy --report r.html --json a.json"
    out = run(capsys, line)
    data, page = json.loads(Path("a.json").read_text()), Path("r.html").read_text()
    assert data["command"].endswith(line.partition(" ")[2]) or data["command"].startswith("pocketgraph")
    assert data["verdict"].split(";")[0] in page.replace("&#x27;", "'")
    # the inputs are pictures, so the report shows four columns of them for each example
    assert page.count("data:image/jpeg;base64,") == 4 * 3
    assert "out.tflite" in out
    assert "r.html" in out


def test_the_table_says_what_a_user_wants_to_know(capsys) -> None:
    out = run(capsys, "convert model.tflite -o out.tflite --sparsity 0.5 --calibration inputs.npy")
    for words in ("out.tflite (f32)", "mask IoU", "LiteRT", "2 of 4 layers pruned to 50.0% zeros", "out.tflite is"):
        assert words in out


def test_names_in_a_model_cannot_draw_on_the_terminal(capsys) -> None:
    model = small_model()
    for op in model.main.ops[1:3]:
        op.outputs[0].name = "[/bold][red]\x1b[2J" + op.outputs[0].name
    write_model(model, "nasty[dim].tflite")
    out = run(capsys, "convert nasty[dim].tflite -o out.tflite --sparsity 0.5 --calibration inputs.npy")
    assert "\x1b" not in out
    assert "[red]" in out.replace("\n", "")


def test_a_large_layer_that_stayed_dense_is_pointed_out(capsys) -> None:
    data = account(capsys, "convert model.tflite -o out.tflite --sparsity 0.5 --layer first=0 --calibration inputs.npy")
    assert data["hint"].startswith("first stayed dense and holds 41% of the weights; --layer 'first=0.5'")
    assert account(capsys, "convert model.tflite -o out.tflite")["hint"] == ""


def test_an_output_from_before_is_replaced(capsys) -> None:
    Path("out.tflite").write_bytes(b"from before")
    run(capsys, "convert model.tflite -o out.tflite")
    assert read_model("out.tflite").main.outputs[0].shape == (1, SIDE, SIDE, 1)


def test_a_model_may_be_converted_onto_itself(capsys) -> None:
    run(capsys, "convert model.tflite -o model.tflite --dtype f16")
    with load_model("model.tflite", "litert") as model:
        assert model.inputs[0].shape == (1, 2 * SIDE, 2 * SIDE, 3)


def test_nothing_but_the_result_is_printed_where_there_is_no_terminal() -> None:
    command = [sys.executable, "-m", "pocketgraph", "convert", "model.tflite", "-o", "out.tflite", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    json.loads(done.stdout)
    assert not [line for line in done.stderr.splitlines() if not line.startswith("INFO: Created TensorFlow Lite")]


def test_the_account_survives_a_reader_that_hangs_up() -> None:
    command = f"{sys.executable} -m pocketgraph explain model.tflite | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr


@pytest.mark.parametrize(
    ("outputs", "targets", "files"),
    [
        (("a.tflite", "b.onnx"), None, ["a.tflite", "b.onnx"]),
        (("small",), "tflite,onnx", ["small.tflite", "small.onnx"]),
        (("out/",), "onnx", ["out/net.onnx"]),
        (("v1.5",), "tflite", ["v1.5.tflite"]),
        (("a.onnx",), "onnx", ["a.onnx"]),
        (("a",), " ONNX, onnx", ["a.onnx"]),
    ],
)
def test_outputs_are_named_by_suffix_or_by_formats(outputs, targets, files) -> None:
    assert [str(file) for file in output_files("dir/net.tflite", outputs, targets)] == files


def test_formats_without_a_place_are_refused() -> None:
    with pytest.raises(UsageError, match="one -o"):
        output_files("net.tflite", ("a", "b"), "onnx")


def test_help_groups_its_options_and_gives_examples(capsys) -> None:
    out = run(capsys, "convert --help")
    for heading in ("Output:", "Pruning:", "Calibration inputs:", "Examples:"):
        assert heading in out
    assert out.index("Pruning:") < out.index("--sparsity") < out.index("Calibration inputs:") < out.index("--samples")


def test_help_and_version_of_the_whole(capsys) -> None:
    out = run(capsys, "--help")
    for name in ("convert", "demo", "explain", "models"):
        assert name in out
    assert run(capsys, "--version").startswith("pocketgraph, version ")


def test_explain_says_what_runs_sparse(capsys) -> None:
    run(capsys, "convert model.tflite -o out.tflite --sparsity 0.9 --method magnitude --no-reestimate")
    data = json.loads(run(capsys, "explain out.tflite --json"))
    assert data["engine"] == "xnnpack"
    kinds = {node["name"]: node["kind"] for node in data["nodes"]}
    assert kinds["stem"] == "CONV_2D"
    assert "stem" in run(capsys, "explain out.tflite")


def test_the_python_call_gives_the_account_of_the_command(capsys) -> None:
    line = "convert model.tflite -o a.tflite --sparsity 0.6 --method magnitude --no-reestimate"
    data = account(capsys, line)
    result = convert_model(
        "model.tflite", "b.tflite", prune=PruneConfig(sparsity=0.6, method="magnitude", reestimate=False)
    )
    assert Path("a.tflite").read_bytes() == Path("b.tflite").read_bytes()
    assert result.to_dict()["layers"] == data["layers"]
    assert result.grade == data["grade"]


@pytest.mark.zoo
def test_a_model_of_the_zoo_is_known_by_name(capsys) -> None:
    data = account(capsys, "convert selfie_segmentation -o selfie.tflite -o selfie.onnx")
    assert data["task"] == "segmentation"
    assert data["source_bytes"] == 249_505
    assert [output["verification"]["grade"] for output in data["outputs"]] == ["equal", "equal"]


def test_class_names_must_be_as_many_as_classes(capsys) -> None:
    Path("names.txt").write_text("cat\ndog\n")
    assert main(["convert", "model.tflite", "-o", "out.tflite", "--labels", "names.txt"]) == 2
    assert "2 class names are given, the model's output has 1 classes" in capsys.readouterr().err
    assert not Path("out.tflite").exists()


def channels_first_model() -> bytes:
    """An ONNX net as PyTorch exports it: [1, 3, h, w] in, a strided convolution, two 1x1 convolutions, scores out."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(2)
    shapes = {"w0": (16, 3, 3, 3), "w1": (32, 16, 1, 1), "w2": (32, 32, 1, 1)}
    weights = [
        numpy_helper.from_array((rng.normal(size=s) / np.sqrt(np.prod(s[1:]))).astype(np.float32), name)
        for name, s in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "w2"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 24, 20])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 32])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_a_net_that_reads_channels_first_is_calibrated_with_pictures(capsys) -> None:
    import cv2

    Path("net.onnx").write_bytes(channels_first_model())
    Path("photos").mkdir()
    for index in range(8):
        photo = np.random.default_rng(index).integers(0, 256, (30, 40, 3)).astype(np.uint8)
        cv2.imwrite(f"photos/{index}.png", photo)
    line = "convert net.onnx -o out.tflite -o out.onnx --sparsity 0.5 --calibration photos --report r.html"
    data = account(capsys, line)
    assert [output["verification"]["engine"].split()[0] for output in data["outputs"]] == ["LiteRT", "ONNX"]
    assert data["task"] == "classifier"
    assert all(output["verification"]["samples"] == 2 for output in data["outputs"])
    assert data["outputs"][0]["verification"]["outputs"][0]["snr_db"] > 3
    assert Path("r.html").read_text().count("data:image/jpeg") == 2
    x = np.random.default_rng(0).random((1, 3, 24, 20), np.float32)
    with load_model("out.tflite", "litert") as sparse, load_model("out.onnx", "onnxruntime") as other:
        np.testing.assert_allclose(sparse(x), other(x), atol=1e-4)


def test_inputs_of_any_range_calibrate_a_model_of_which_nothing_is_known(capsys) -> None:
    np.save("signed.npy", 8 * np.load("inputs.npy") - 4)
    line = "convert model.tflite -o out.tflite --sparsity 0.5 --calibration signed.npy"
    assert account(capsys, line)["sparsity"] == pytest.approx(0.5, abs=1e-3)


def test_the_file_as_given_is_what_outputs_are_compared_with(capsys, monkeypatch) -> None:
    from pocketgraph.convert import source
    from pocketgraph.models.files import read_model as read

    Path("net.onnx").write_bytes(channels_first_model())

    def misread(path):
        model = read(path)
        first = next(op for op in model.main.ops if op.kind == "CONV_2D")
        first.input(1).data = -first.input(1).dense()
        return model

    assert account(capsys, "convert net.onnx -o out.tflite")["grade"] == "equal"
    monkeypatch.setattr(source, "read_model", misread)
    assert account(capsys, "convert net.onnx -o out.tflite")["grade"] == "poor"


def test_a_guessed_pixel_range_is_said_and_a_given_one_is_not(capsys, place) -> None:
    pictures = np.random.default_rng(2).integers(0, 256, (8, 2 * SIDE, 2 * SIDE, 3), np.uint8)
    np.save(place / "pictures.npy", pictures)
    line = "convert model.tflite -o out.tflite --sparsity 0.5 --calibration pictures.npy"
    assert "read as values 0..1" in " ".join(run(capsys, line).split())
    assert "read as values" not in run(capsys, f"{line} --scale 0.0039 --offset 0")


def test_too_few_zeros_are_named_as_what_keeps_a_model_dense(capsys) -> None:
    line = "convert model.tflite -o out.tflite --calibration inputs.npy --sparsity"
    low = " ".join(run(capsys, f"{line} 0.6").split())
    assert "nothing runs sparse" in low
    assert "of the weights are zero, it takes over 66.7%" in low
    assert "nothing runs sparse" not in run(capsys, f"{line} 0.8")


def test_zeros_in_bytes_are_said_to_bring_nothing(capsys) -> None:
    text = run(capsys, "convert model.tflite -o out.tflite --sparsity 0.5 --calibration inputs.npy --dtype int8")
    assert "their zeros make the file neither smaller nor faster" in " ".join(text.split())


def test_a_report_is_a_page_by_name_too(capsys, place) -> None:
    assert main(["convert", "model.tflite", "-o", "out.tflite", "--report", "out.pdf"]) == 2
    assert "ends in .html, not out.pdf" in capsys.readouterr().err
    assert not (place / "out.tflite").exists()
    assert "out.json" in run(capsys, "convert model.tflite -o out.tflite --json out.json")


def test_layers_that_would_look_alike_are_told_by_their_whole_names() -> None:
    names = ["block0/project", "block1/project", "stem/conv_1/Relu6"]
    assert distinct_names(names) == {
        "block0/project": "block0/project",
        "block1/project": "block1/project",
        "stem/conv_1/Relu6": "conv_1",
    }
