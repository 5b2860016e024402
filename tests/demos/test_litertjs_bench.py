"""The browser benchmark: its own models, and what it says where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketgraph.convert.explain import explain_model
from pocketgraph.demos.litertjs_bench import example_models, main, run_in_browser
from pocketgraph.models.errors import UsageError
from pocketgraph.models.tflite_read import read_tflite


def test_its_own_models_run_sparse_from_70_percent(tmp_path: Path) -> None:
    files = example_models(tmp_path)
    assert [file.name for file in files] == [f"mobilenet_v1_{kind}.tflite" for kind in ("dense", "70%", "80%", "90%")]
    assert [explain_model(read_tflite(file)).runs_sparse for file in files] == [False, True, True, True]


def test_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"npm|Chromium"):
        run_in_browser([], packages=tmp_path)


@pytest.mark.browser
def test_the_command_prints_medians_and_ratios(tmp_path: Path) -> None:
    from pocketgraph.convert.targets import export
    from pocketgraph.convert.xnnpack_examples import example

    files = [tmp_path / "dense.tflite", tmp_path / "sparse.tflite"]
    export(example(sparsity=0.0), files[0])
    export(example(), files[1])
    result = CliRunner().invoke(main, [*map(str, files), "--rounds", "3", "--warmup", "0"])
    assert result.exit_code == 0, result.output
    assert "times as fast" in result.output
    assert "3 interleaved rounds" in " ".join(result.output.split())
