"""The page of `pocketgraph webcam` answers this machine, this run's token, and nobody else."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.__main__ import main
from pocketgraph.demos import session
from pocketgraph.demos.pipelines import Settings
from pocketgraph.demos.session import Session
from pocketgraph.demos.webcam_server import WebcamServer
from pocketgraph.graphs import HolisticResult, Timed
from pocketgraph.graphs.streaming import size_of
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.camera import Camera, Clip
from pocketgraph.runtime.vision.landmarks import Landmarks

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


class FakePipeline:
    """Finds a face in every frame, and a mask."""

    name, possible, parts = "holistic", ("face", "segmentation"), ("face", "segmentation")

    def __init__(self, name: str, settings: Settings) -> None: ...

    def __call__(self, image: Any, timestamp_us: int) -> Timed[HolisticResult]:
        face = Landmarks(np.full((468, 3), 0.5, np.float32))
        found = HolisticResult(face=face, mask=np.ones(image.shape[:2], np.float32))
        return Timed("holistic", timestamp_us, found, image, size_of(image))

    def close(self) -> None: ...


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebcamServer]:
    monkeypatch.setattr(session, "Pipeline", FakePipeline)
    with Session("holistic", Settings()) as running:
        server = WebcamServer(running, None)
        server.start()
        yield server
        server.close()


def ask(
    server: WebcamServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    if body is not None:
        headers.setdefault("Content-Length", str(len(body)))
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data, answer.headers


def test_it_listens_on_this_machine_alone(served: WebcamServer) -> None:
    assert served._http.server_address[0] == "127.0.0.1"
    assert served.url.startswith(f"http://127.0.0.1:{served.port}/?token=")


def test_the_page_comes_with_the_token_only(served: WebcamServer) -> None:
    status, data, headers = ask(served, "GET", f"/?token={served.token}")
    assert status == 200
    assert b'"camera": "browser"' in data
    assert served.token.encode() not in data
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    for path in ("/", "/?token=", "/?token=" + "x" * 32, "/?token=%C3%A4", f"/status?token={served.token}"):
        assert ask(served, "GET", path)[0] == 403, path


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", ""])
def test_a_name_made_to_lead_here_is_refused(served: WebcamServer, host: str) -> None:
    status, data, _ = ask(served, "GET", f"/?token={served.token}", Host=host)
    assert status == 403
    assert b"html" not in data


def test_localhost_is_this_machine_too(served: WebcamServer) -> None:
    assert ask(served, "GET", f"/?token={served.token}", Host=f"localhost:{served.port}")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/etc/passwd", 404), ("GET", "/../webcam_server.py", 404), ("GET", "/frame", 404), ("POST", "/", 404),
        ("POST", "/status", 404), ("PUT", "/frame", 501), ("DELETE", "/", 501), ("OPTIONS", "/frame", 501),
        ("GET", "//", 403), ("GET", "/%2e%2e/x", 404), ("GET", "/stream", 403),
    ],
)  # fmt: skip
def test_only_known_paths_are_answered(served: WebcamServer, method: str, path: str, status: int) -> None:
    assert ask(served, method, path, X_Pocketgraph_Token=served.token)[0] == status


def test_a_frame_comes_back_as_what_it_shows(served: WebcamServer) -> None:
    status, data, _ = ask(served, "POST", "/frame", JPEG, X_Pocketgraph_Token=served.token)
    assert status == 200
    answer = json.loads(data)
    result = HolisticResult.from_json(json.dumps(answer["record"]))
    assert len(result.face) == 468
    assert result.size == (64, 48)
    assert result.mask.shape == (48, 64)
    assert answer["status"]["frames"] == 1
    assert json.loads(ask(served, "GET", "/status", X_Pocketgraph_Token=served.token)[1])["frames"] == 1


def test_parts_are_switched(served: WebcamServer) -> None:
    status, data, _ = ask(served, "POST", "/toggle?part=segmentation", b"", X_Pocketgraph_Token=served.token)
    assert (status, json.loads(data)["shown"]) == (200, ["face"])
    answer = json.loads(ask(served, "POST", "/frame", JPEG, X_Pocketgraph_Token=served.token)[1])
    assert answer["status"]["shown"] == ["face"]
    assert ask(served, "POST", "/toggle?part=<b>", b"", X_Pocketgraph_Token=served.token)[0] == 400
    assert ask(served, "POST", "/toggle?part=face", b"")[0] == 403
    assert ask(served, "POST", f"/toggle?part=face&token={served.token}", b"")[0] == 403  # only the header counts


def test_a_switch_that_fails_leaves_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(FakePipeline):
        parts, settings, closed = ("face",), Settings(), False

        def __init__(self, _name: str, settings: Settings) -> None:
            if settings.segmentation:
                raise UsageError("as planned")

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(session, "Pipeline", Failing)
    running = Session("holistic", Settings())
    with pytest.raises(UsageError, match="as planned"):
        running.toggle("segmentation")
    assert not running.pipeline.closed
    assert running.shown == {"face"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GIF89a",
        b"\xff\xd8\xff",
        JPEG[:100],
        JPEG.replace(b"\x00\x30\x00\x40", b"\x75\x30\x75\x30"),  # claims 30000x30000
        b"\xff\xd8\xff" + b"\x00" * 5000,
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 99,
    ],
)
def test_what_is_no_frame_is_refused(served: WebcamServer, body: bytes) -> None:
    assert ask(served, "POST", "/frame", body, X_Pocketgraph_Token=served.token)[0] == 400
    assert served.session.frames == 0


@pytest.mark.parametrize("length", ["-1", "99999999999", "x", "1e3", "+5", "\xb2", "9" * 5000])
def test_lengths_that_lie_are_refused_unread(served: WebcamServer, length: str) -> None:
    status, _, headers = ask(served, "POST", "/frame", JPEG, Content_Length=length, X_Pocketgraph_Token=served.token)
    assert status == 400
    assert headers["Connection"] == "close"


def test_an_address_that_is_none_is_answered(served: WebcamServer) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as wire:
        wire.sendall(f"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode())
        assert wire.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_what_a_switch_brings_is_no_request(served: WebcamServer) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as wire:
        wire.sendall(
            f"POST /toggle?part=face HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Length: 18\r\n"
            f"X-Pocketgraph-Token: {served.token}\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode()
        )
        answers = b"".join(iter(lambda: wire.recv(4096), b""))
    assert answers.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answers


def test_connections_are_bounded(served: WebcamServer) -> None:
    wires = [socket.create_connection(("127.0.0.1", served.port), timeout=5) for _ in range(40)]
    try:
        assert wires[-1].recv(1) == b""
    finally:
        for wire in wires:
            wire.close()


@pytest.mark.parametrize("error", [None, UsageError("as planned"), RuntimeError("unplanned")])
def test_a_stream_ends_with_the_video_whatever_ends_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    class Short(Clip):
        def __init__(self) -> None:
            self.rate = None

        def __iter__(self) -> Iterator[tuple[int, Any]]:
            yield 0, np.full((48, 64, 3), 90, np.uint8)
            if error is not None:
                raise error

    monkeypatch.setattr(session, "Pipeline", FakePipeline)
    with Session("holistic", Settings()) as running:
        server = WebcamServer(running, Short())
        server.start()
        try:
            status, data, _ = ask(server, "GET", f"/stream?token={server.token}")
            assert status == 200
            assert data.count(b"--frame") == 1
            assert (str(error) if error else "the video has ended") in server.status()["message"]
        finally:
            server.close()


def test_it_can_be_closed_without_a_start_and_then_does_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "Pipeline", FakePipeline)
    with Session("holistic", Settings()) as running:
        server = WebcamServer(running, None)
        server.close()
        with pytest.raises(ConnectionAbortedError):
            server.look(np.zeros((8, 8, 3), np.uint8))


def test_nonsense_on_the_wire_does_not_stop_the_server(served: WebcamServer) -> None:
    for data in (
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"POST /frame HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        b"x" * 70_000,
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as wire:
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
            try:
                while wire.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    assert ask(served, "GET", f"/?token={served.token}")[0] == 200


def test_the_servers_camera_streams_overlays_and_tells_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.full((48, 64, 3), 90, np.uint8)]

    def reader(_source: Any) -> Iterator[tuple[int, Any]]:
        while frames:
            yield 0, frames.pop()

    monkeypatch.setattr(session, "Pipeline", FakePipeline)
    with Session("holistic", Settings()) as running, Camera(0, reader, tries=1, first_wait=0.01) as camera:
        server = WebcamServer(running, camera)
        server.start()
        try:
            wire = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            wire.request("GET", f"/stream?token={server.token}")
            answer = wire.getresponse()
            assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
            assert answer.readline() == b"--frame\r\n"
            assert answer.readline() == b"Content-Type: image/jpeg\r\n"
            length = int(answer.readline().partition(b":")[2])
            answer.readline()
            picture = cv2.imdecode(np.frombuffer(answer.read(length), np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (48, 64, 3)
            server._threads[1].join(30)
            assert "did not come back" in server.status()["message"]
            assert ask(server, "POST", "/frame", JPEG, X_Pocketgraph_Token=server.token)[0] == 400
        finally:
            server.close()
            wire.close()


@pytest.mark.parametrize("source", ["none.mp4", "notes.txt"])
def test_a_video_that_is_none_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    monkeypatch.setattr(session, "Pipeline", FakePipeline)
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("nothing")
    assert main(["webcam", "--input", source]) == 2
    out, err = capsys.readouterr()
    assert source in err
    assert out == ""


def test_a_port_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "Pipeline", FakePipeline)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Session("holistic", Settings()) as running,
        pytest.raises(UsageError, match="cannot be opened"),
    ):
        WebcamServer(running, None, taken.getsockname()[1])


def test_a_file_waits_for_its_first_viewer_and_shows_its_end_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "Pipeline", FakePipeline)
    frames = [(time, np.full((48, 64, 3), time, np.uint8)) for time in range(5)]
    given: list[int] = []

    def reader(_source: Any) -> Iterator[tuple[int, Any]]:
        for time, frame in frames:
            given.append(time)
            yield time, frame

    with Session("holistic", Settings()) as running:
        server = WebcamServer(running, Clip("somewhere.mp4", reader))
        server.start(patience=60)
        assert given == [0]
        seen = server.next_picture(0)
        while seen is not None:
            number, last = seen
            seen = server.next_picture(number)
        assert number == len(given) == 5
        assert server.next_picture(0) == (5, last)
        server.close()
