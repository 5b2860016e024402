"""The page of `pocketgraph webcam`: overlays of a camera in a browser on this machine, and on no other.

The server listens on 127.0.0.1. It answers only requests whose Host is that (a page elsewhere whose name was made to
lead here says its own), for the paths below, that carry the token of this run: in the address for what the browser
loads by itself, in a header, which other pages cannot send, for the rest.

    GET  /         the page                           GET  /status   frames a second, latency, parts shown
    GET  /stream   the server's camera, as MJPEG      POST /toggle   ?part=: draw it, or no longer
    POST /frame    a JPEG of the browser's camera in; out, as JSON, its record (`pocketgraph.graphs.records`) and status
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np

from pocketgraph.demos import overlay as drawing
from pocketgraph.demos.session import Session
from pocketgraph.graphs import topology
from pocketgraph.models.errors import PocketgraphError, UsageError
from pocketgraph.runtime.vision.camera import Camera, Clip
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.picture_size import claimed_pixels

HOST = "127.0.0.1"
_PAGE = Path(__file__).with_name("webcam.html")
_LARGEST_FRAME = 16 << 20  # bytes of a JPEG
_MOST_PIXELS = 1 << 25
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]
_PATIENCE = 10.0  # seconds that a client may take to send or take something
_MOST_CONNECTIONS = 32


class WebcamServer:
    """Serves the overlay of `frames`, or of the browser's own camera where that is None, until `close`."""

    def __init__(self, session: Session, frames: Camera | Clip | None, port: int = 0) -> None:
        self.session, self.frames = session, frames
        self.token = secrets.token_urlsafe(24)
        self.message = ""
        """What went wrong with the camera."""
        self.began = time.monotonic()
        self.busy = threading.Lock()
        """Held while the session works: it serves one thread at a time."""
        self._news = threading.Condition()
        self._picture: tuple[int, bytes] = (0, b"")
        self._leaving = self._ended = self._watched = False
        self._error: PocketgraphError | None = None
        try:
            self._http = _Http(self, port)
        except OSError as error:
            raise UsageError(f"port {port} of {HOST} cannot be opened: {error.strerror}; choose another") from error
        self.port: int = self._http.server_address[1]
        self.url = f"http://{HOST}:{self.port}/?token={self.token}"
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.1,), name="webcam-http", daemon=True)
        ]
        if frames is not None:
            self._threads.append(threading.Thread(target=self._watch, name="webcam-frames", daemon=True))

    def start(self, patience: float = 0.0) -> None:
        """Begin to serve. Raises what keeps the server's camera from a first frame within `patience` seconds."""
        for thread in self._threads:
            thread.start()
        with self._news:
            if self.frames is not None:
                self._news.wait_for(lambda: self._ended or self._picture[0] > 0, patience)
            if self._error is not None and not self._picture[0]:
                raise self._error

    def close(self) -> None:
        """Stop serving."""
        with self._news:
            self._leaving = True
            self._news.notify_all()
        if isinstance(self.frames, Camera):
            self.frames.stop()
        begun = [thread for thread in self._threads if thread.ident is not None]
        if begun:
            self._http.shutdown()
        self._http.server_close()
        for thread in begun:
            thread.join(5.0)
        if self.busy.acquire(timeout=_PATIENCE):  # a request may still be answered
            self.busy.release()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Within the block the session is the caller's alone. Raises `ConnectionAbortedError` where it closes."""
        with self.busy:
            if self._leaving:
                raise ConnectionAbortedError
            yield

    def _watch(self) -> None:
        """The server's camera, from frame to overlay."""
        assert self.frames is not None
        try:
            for timestamp, image in self.frames:
                began = time.monotonic()
                with self.working():
                    seen = self.session(image, timestamp)
                    drawn = drawing.overlay(image, seen, self.session.shown)
                _, data = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), _JPEG)
                with self._news:
                    self._picture = self._picture[0] + 1, data.tobytes()
                    self._news.notify_all()
                    if not self.frames.live:  # a file waits for its first viewer
                        self._news.wait_for(lambda: self._watched or self._leaving)
                if not self.frames.live and self.frames.rate:  # a file plays as fast as it was taken, or slower
                    time.sleep(max(0.0, 1 / self.frames.rate - (time.monotonic() - began)))
            self.message = "the video has ended"
        except ConnectionAbortedError:
            return
        except PocketgraphError as error:
            self.message, self._error = str(error), error
        except Exception as error:  # noqa: BLE001 - the page tells it
            self.message = f"a defect in pocketgraph: {type(error).__name__}: {error}"
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def next_picture(self, after: int) -> tuple[int, bytes] | None:
        """The newest overlay that is not number `after`, or None at the end."""
        with self._news:
            self._watched = True
            self._news.notify_all()
            self._news.wait_for(lambda: self._leaving or self._ended or self._picture[0] > after)
            return None if self._leaving or self._picture[0] <= after else self._picture

    def status(self) -> dict[str, Any]:
        """The numbers of the page."""
        session = self.session
        return {"rate": session.rate, "latency": session.latency, "frames": session.frames,
                "shown": sorted(session.shown), "message": self.message}  # fmt: skip

    def look(self, image: Image) -> str:
        """What a frame of the browser's camera shows, as JSON: its record and the status."""
        with self.working():
            seen = self.session(image, int((time.monotonic() - self.began) * 1e6))
        return f'{{"record":{seen.to_json()},"status":{json.dumps(self.status())}}}'

    def page(self, nonce: str) -> bytes:
        """The page, for this pipeline and this camera."""
        config = {
            "pipeline": self.session.pipeline.name,
            "camera": "browser" if self.frames is None else "server",
            "parts": list(self.session.pipeline.possible),
            "lines": {"hand": topology.HAND, "torso": topology.TORSO, "face": drawing.FACE_LINES,
                      "left_body": topology.LEFT_BODY, "right_body": topology.RIGHT_BODY,
                      "left_fingers": topology.LEFT_FINGERS, "right_fingers": topology.RIGHT_FINGERS},
            "colours": {name: _hex(colour) for name, colour in drawing.COLOURS.items()},
            "people": [_hex(colour) for colour in drawing.PEOPLE],
            "dark": _hex((drawing.DARK,) * 3),
            "body_from": drawing.BODY_FROM,
            "least_visibility": drawing.LEAST_VISIBILITY,
        }  # fmt: skip
        text = _PAGE.read_text(encoding="utf-8").replace("@NONCE@", nonce)
        return text.replace("@CONFIG@", json.dumps(config).replace("<", "\\u003c")).encode()


def _hex(colour: tuple[int, ...]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a stream ends when its client notices
    allow_reuse_address = True

    def __init__(self, page: WebcamServer, port: int) -> None:
        self.page = page
        self._free = threading.Semaphore(_MOST_CONNECTIONS)
        super().__init__((HOST, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread of its own; a connection too many is closed."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Make room for another at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "pocketgraph", ""
    timeout = _PATIENCE
    server: _Http

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the base class calls it
        """Requests are not listed."""

    def do_GET(self) -> None:
        self._answer({"/": self._page, "/status": self._status, "/stream": self._stream})

    def do_POST(self) -> None:
        self._answer({"/frame": self._frame, "/toggle": self._toggle})

    def _answer(self, paths: dict[str, Callable[[], None]]) -> None:
        page = self.server.page
        try:
            url = urlsplit(self.path)
            self.query = parse_qs(url.query)
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no address")
            return
        if "Transfer-Encoding" in self.headers or (
            self.headers.get("Content-Length", "0") != "0" and url.path != "/frame"
        ):
            self.close_connection = True  # what the request brings is not read
        in_address = self.command == "GET" and url.path in ("/", "/stream")
        token = self.query.get("token", [""])[0] if in_address else self.headers.get("X-Pocketgraph-Token", "")
        if self.headers.get("Host") not in (f"{HOST}:{page.port}", f"localhost:{page.port}"):
            self._refuse(HTTPStatus.FORBIDDEN, "this is not where you wanted to go")
        elif url.path not in paths:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        elif not hmac.compare_digest(token.encode(), page.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that pocketgraph printed, token and all")
        else:
            paths[url.path]()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # what the request brought is not read
        self._send(why.encode(), "text/plain; charset=utf-8", status)

    def _send(
        self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, policy: str = "default-src 'none'"
    ) -> None:
        self.send_response(status)
        self._headers(kind, policy)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _headers(self, kind: str, policy: str = "default-src 'none'") -> None:
        for name, value in (
            ("Content-Type", kind), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Content-Security-Policy", f"{policy}; frame-ancestors 'none'"),
        ):  # fmt: skip
            self.send_header(name, value)

    def _json(self, text: str) -> None:
        self._send(text.encode(), "application/json")

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'"
        policy += "; img-src 'self' data:"
        self._send(self.server.page.page(nonce), "text/html; charset=utf-8", policy=policy)

    def _status(self) -> None:
        self._json(json.dumps(self.server.page.status()))

    def _stream(self) -> None:
        page = self.server.page
        if page.frames is None:
            self._refuse(HTTPStatus.NOT_FOUND, "the camera is the browser's")
            return
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self._headers("multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        while (picture := page.next_picture(number)) is not None:
            number, data = picture
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def _toggle(self) -> None:
        page = self.server.page
        part = self.query.get("part", [""])[0]
        if part not in page.session.pipeline.possible:
            self._refuse(HTTPStatus.BAD_REQUEST, "there is no such part")
            return
        with page.working():
            page.session.toggle(part)
        self._json(json.dumps(page.status()))

    def _frame(self) -> None:
        length = self.headers.get("Content-Length", "")
        told = length.isascii() and length.isdecimal() and len(length) < 10
        if not told or not 0 < int(length) <= _LARGEST_FRAME or self.server.page.frames is not None:
            self._refuse(HTTPStatus.BAD_REQUEST, f"a frame is a JPEG of 1 to {_LARGEST_FRAME} bytes")
            return
        image = _decoded(self.rfile.read(int(length)))
        if image is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no JPEG that can be decoded")
            return
        self._json(self.server.page.look(image))


def _decoded(data: bytes) -> Image | None:
    """The picture, or None where it is none, or too large a one."""
    if not data.startswith(b"\xff\xd8\xff") or not 0 < claimed_pixels(data) <= _MOST_PIXELS:
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if pixels is None:
        return None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
