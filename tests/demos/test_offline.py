"""Nothing is asked of any network while pipelines run, and memory stays flat."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.zoo, pytest.mark.data]
SOAK = Path(__file__).resolve().parents[1] / "soak" / "soak_pipeline.py"
VIDEO = "people/videos/signing_video_9frames.mp4"
WATCHED = """
import sys
from pocketgraph.__main__ import main

def refuse(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        print(f"network: {event} {arguments}", file=sys.stderr, flush=True)
        raise RuntimeError(event)

sys.addaudithook(refuse)
sys.exit(main(sys.argv[1:]))
"""


def _no_network() -> list[str]:
    """A command that takes the network away from the one behind it, where this system allows that."""
    command = ["unshare", "--user", "--map-root-user", "--net"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        return []
    return command


@pytest.mark.parametrize("name", ["holistic", "hands", "selfie_segmentation"])
def test_a_run_asks_nothing_of_a_network(name: str, shared_data: Path, tmp_path: Path) -> None:
    outputs = ["--output", "out.mp4", "--json", "out.jsonl", "--record", "out.pgrec", "--trace", "trace.json"]
    command = [sys.executable, "-c", WATCHED, "run", name, "--input", str(shared_data / VIDEO), *outputs]
    done = subprocess.run(
        [*_no_network(), *command, "--delegate", "litert"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "network:" not in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 9


def test_memory_stays_flat(shared_data: Path) -> None:
    command = [sys.executable, str(SOAK), "face_mesh", str(shared_data / VIDEO), "--frames", "600", "--width", "160"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "face in 600" in done.stdout
