"""What a user can get wrong on the command line: one clear line, exit code 2, and no file touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pocketgraph.__main__ import main
from pocketgraph.models.files import write_model
from pocketgraph.models.graph import Graph, Model, Op, Tensor


def small_model(weight: float = 1.0) -> Model:
    """A stem and two 1x1 convolutions on an 8x8 picture."""
    rng = np.random.default_rng(0)

    def conv(x: Tensor, name: str, channels: int, side: int) -> Op:
        shape = (channels, side, side, x.shape[3])
        w = Tensor(f"{name}/w", shape, data=(weight * rng.normal(size=shape)).astype(np.float32))
        b = Tensor(f"{name}/b", (channels,), data=np.zeros(channels, np.float32))
        attrs = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
        return Op("CONV_2D", [x, w, b], [Tensor(name, (1, 8, 8, channels))], attrs)

    x = Tensor("picture", (1, 8, 8, 3))
    ops = [conv(x, "stem", 8, 3)]
    for name in ("first", "second", "head"):
        ops.append(conv(ops[-1].outputs[0], name, 8, 1))
    return Model([Graph("main", [x], [ops[-1].outputs[0]], ops)])


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch) -> None:
    """A folder with a sound model, calibration inputs and an output from before, made the working folder."""
    write_model(small_model(), tmp_path / "model.tflite")
    np.save(tmp_path / "inputs.npy", np.random.default_rng(1).random((8, 8, 8, 3), np.float32))
    (tmp_path / "out.tflite").write_bytes(b"from before")
    monkeypatch.chdir(tmp_path)


def refused(capsys, arguments: str | list[str], *words: str, code: int = 2) -> str:
    """Run the command line, which must fail with one line on stderr that has `words`, leaving every file as it is."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert main(arguments.split() if isinstance(arguments, str) else arguments) == code
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("INFO:")]
    assert len(lines) == 1, err
    assert lines[0].startswith("pocketgraph: ")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in out + err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return lines[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"I am not a model, I am a letter.\n" * 20, "model"), (b"\x00" * 4096, "model")],
)
@pytest.mark.parametrize("suffix", [".tflite", ".onnx", ".txt", ".keras"])
def test_a_file_that_is_no_model(capsys, content, words, suffix) -> None:
    Path(f"bad{suffix}").write_bytes(content)
    message = refused(capsys, f"convert bad{suffix} -o out.tflite", f"bad{suffix}" if not content else "")
    assert words in message or "tflite" in message.lower() or "onnx" in message.lower() or "keras" in message.lower()


def test_a_folder_that_is_no_model(capsys) -> None:
    Path("folder").mkdir()
    refused(capsys, "convert folder -o out.tflite", "folder")


def test_a_name_that_is_neither_file_nor_model(capsys) -> None:
    refused(capsys, "convert selfie_segmentatoin -o out.tflite", "did you mean selfie_segmentation")
    refused(capsys, "convert nowhere/model.tflite -o out.tflite", "there is no file nowhere/model.tflite")


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_a_truncated_model(capsys, suffix) -> None:
    write_model(small_model(), f"whole{suffix}")
    data = Path(f"whole{suffix}").read_bytes()
    for length in (9, len(data) // 3, len(data) // 2, len(data) - 200):
        Path(f"cut{suffix}").write_bytes(data[:length])
        refused(capsys, f"convert cut{suffix} -o out.tflite")


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_flipped_bits_end_in_a_message_or_a_model(capfd, suffix) -> None:
    write_model(small_model(), f"whole{suffix}")
    data = Path(f"whole{suffix}").read_bytes()
    rng = np.random.default_rng(5)
    codes = []
    for _ in range(40):
        broken = bytearray(data)
        for position in rng.integers(0, len(broken), 4):
            broken[position] ^= 1 << int(rng.integers(8))
        Path(f"flipped{suffix}").write_bytes(broken)
        codes.append(main(["convert", f"flipped{suffix}", "-o", "new.tflite"]))
        assert "Traceback" not in capfd.readouterr().err
        assert Path("new.tflite").exists() == (codes[-1] == 0)
        Path("new.tflite").unlink(missing_ok=True)
    assert set(codes) <= {0, 2}
    assert 2 in codes


def test_weights_that_are_not_numbers(capsys) -> None:
    write_model(small_model(float("nan")), "nan.tflite")
    refused(capsys, "convert nan.tflite -o out.tflite", "'stem/w'", "216 NaN")


def test_a_small_file_that_asks_for_much_memory(capsys) -> None:
    model = small_model()
    for tensor in model.main.tensors():
        if not tensor.is_constant:
            tensor.shape = (1 << 22, *tensor.shape[1:])
    write_model(model, "large.tflite")
    refused(capsys, "convert large.tflite -o out.tflite", "'picture'", "805,306,368 values")


def test_a_calibration_folder_without_a_picture(capsys) -> None:
    Path("photos").mkdir()
    Path("photos/notes.txt").write_text("nothing here")
    refused(capsys, "convert model.tflite -o out.tflite --sparsity 0.5 --calibration photos", "no pictures", "1 .txt")
    refused(capsys, "convert model.tflite -o out.tflite --sparsity 0.5 --calibration nowhere", "nowhere")


def test_calibration_inputs_of_another_shape(capsys) -> None:
    np.save("wrong.npy", np.zeros((4, 5, 5, 3), np.float32))
    prune = "convert model.tflite -o out.tflite --sparsity 0.5"
    refused(capsys, f"{prune} --calibration wrong.npy", "[4, 5, 5, 3]", "8, 8, 3")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--sparsity 1.5", "1.5"),
        ("--sparsity -0.1", "-0.1"),
        ("--sparsity nan", "nan"),
        ("--sparsity much", "much"),
        ("--layer first=2", "2"),
        ("--layer first", "GLOB=SPARSITY"),
        ("--layer =0.5", "GLOB=SPARSITY"),
        ("--layer zzz=0.5 --calibration inputs.npy", "zzz"),
        ("--sparsity 0.5", "--calibration"),
        ("--sparsity 0.5 --method magnitude", "--no-reestimate"),
        ("--dtype int8 -o out.onnx", "int8 is for .tflite only"),
        ("--dtype f8", "f8"),
        ("--recover 10", "sparsity"),
        ("--scale a", "--scale"),
        ("--offset 1,2", "--offset"),
        ("--scale 1/0", "--scale"),
        ("--to tfjs", "tfjs"),
        ("--to onnx", "disagree"),
        ("-o other.tflite --to tflite", "one -o"),
        ("-o out.tflite", "same file"),
        ("-o model.bin", "model.bin"),
        ("--threads 0", "threads"),
        ("--samples 0", "samples"),
        ("--frobnicate", "--frobnicate"),
    ],
)
def test_options_out_of_range(capsys, options, words) -> None:
    refused(capsys, f"convert model.tflite -o out.tflite {options}", words)


def test_a_missing_output_or_command(capsys) -> None:
    refused(capsys, "convert model.tflite", "--output")
    refused(capsys, "transmogrify", "transmogrify")


def test_an_output_path_that_cannot_be_written(capsys) -> None:
    Path("file").write_text("")
    refused(capsys, "convert model.tflite -o file/out.tflite", "cannot write file/out.tflite")
    Path("taken.tflite").mkdir()
    refused(capsys, "convert model.tflite -o taken.tflite", "is a folder")
    refused(capsys, "convert model.tflite -o new/a.tflite -o file/b.onnx", "file/b.onnx")
    assert not Path("new").exists()


def test_a_report_that_cannot_be_written_stops_before_the_model_is_read(capsys) -> None:
    Path("file").write_text("")
    refused(capsys, "convert nowhere.tflite -o out.tflite --report file/r.html", "file/r.html")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the super user may write everywhere")
def test_a_folder_without_permission(capsys) -> None:
    Path("closed").mkdir(mode=0o500)
    refused(capsys, "convert model.tflite -o closed/out.tflite", "Permission denied")


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")
def test_a_disk_that_takes_no_more(capsys) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # the model needs more
    try:
        refused(capsys, "convert model.tflite -o out.tflite -o new/out.onnx", "cannot write", "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not Path("new").exists()


def test_one_of_two_outputs_that_fails_leaves_the_other_as_it_was(capsys, monkeypatch) -> None:
    from pocketgraph.convert import checker
    from pocketgraph.models.errors import UnsupportedError

    checked = checker.Checker.check

    def fail_on_onnx(self, part, file):
        if file.suffix == ".onnx":
            raise UnsupportedError("no word for it")
        return checked(self, part, file)

    monkeypatch.setattr(checker.Checker, "check", fail_on_onnx)
    refused(capsys, "convert model.tflite -o out.tflite -o out.onnx --report r.html", "no word for it")


def test_debug_shows_the_traceback_wherever_it_stands(capsys) -> None:
    assert main(["convert", "nowhere.tflite", "-o", "out.tflite", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "there is no file nowhere.tflite" in err.splitlines()[-1]


def test_a_defect_is_one_line_too(capsys, monkeypatch) -> None:
    from pocketgraph.convert import conversion

    monkeypatch.setattr(conversion, "open_source", lambda *_: 1 / 0)
    refused(capsys, "convert model.tflite -o out.tflite", "ZeroDivisionError", "--debug", code=1)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX systems do")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_conversion_leaves_no_trace(number, code) -> None:
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    # the conversion itself, held up where it begins to prune
    script = (
        "import signal, time, sys\n"
        # whoever runs the tests in the background may have left interrupts switched off
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pocketgraph.__main__ import main\n"
        "from pocketgraph.convert import conversion\n"
        "def slowly(*_, **__):\n"
        "    print('pruning', flush=True)\n"
        "    time.sleep(60)\n"
        "conversion._prune = slowly\n"
        "sys.exit(main())\n"
    )
    line = "convert model.tflite -o out.tflite -o new/out.onnx --sparsity 0.5 --calibration inputs.npy"
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script, *line.split()], stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "pruning\n"
        assert list(Path().glob(".out.*.part.tflite")), "the conversion should be writing beside its output"
        time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in out + err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert not Path("new").exists()
