"""HTTP servers of live streams on this machine, for tests."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av

from video_clips import Image, numbered_image


class QuietHandler(http.server.BaseHTTPRequestHandler):
    """A request handler that logs nothing."""

    def log_message(self, *args: object) -> None:
        pass


class MotionJpegHandler(QuietHandler):
    """A camera that sends `frames` numbered images at `rate` per second, and then ends or, with `hang`, stalls."""

    frames, rate, hang = 60, 50.0, False
    released = threading.Event()
    sent: ClassVar[list[float]] = []
    """Moments of the monotonic clock at which the images were sent."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        start = time.monotonic()
        for number in range(self.frames):
            time.sleep(max(0.0, start + number / self.rate - time.monotonic()))
            image = encode_jpeg(number)
            header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            try:
                self.wfile.write(header.encode() + image + b"\r\n")
            except OSError:  # the reader has closed the connection
                return
            self.sent.append(time.monotonic())
        if self.hang:
            self.released.wait(20)


def encode_jpeg(number: int) -> bytes:
    """Returns the numbered image of 64 x 48 pixels as JPEG."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuvj420p"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(numbered_image(number), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


@contextmanager
def serve(handler: type[http.server.BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    """Yields the URL of a server, and releases streams that stall when it ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        MotionJpegHandler.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serve_stream(data: bytes, stalls: bool) -> Iterator[str]:
    """Yields the URL of a live stream of unknown length, which ends after the data, or stalls."""
    closing = threading.Event()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            for n in range(0, len(data), 4096):
                self.wfile.write(data[n : n + 4096])
                closing.wait(0.01)
            if stalls:
                closing.wait(20)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/camera"
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class FilesHandler(http.server.SimpleHTTPRequestHandler):
    """Sends the whole files of `folder`; it does not know of ranges."""

    folder = ""

    def __init__(self, *args: object) -> None:
        super().__init__(*args, directory=self.folder)  # type: ignore[arg-type]

    def log_message(self, *args: object) -> None:
        pass

    def copyfile(self, source: object, outputfile: object) -> None:
        with suppress(ConnectionError):  # the reader knows enough
            super().copyfile(source, outputfile)  # type: ignore[arg-type, type-var]


@contextmanager
def serve_folder(folder: Path, port: int = 0) -> Iterator[str]:
    """Yields the URL of a server of the files in a folder."""
    with serve(type("FilesOfFolder", (FilesHandler,), {"folder": str(folder)}), port) as url:
        yield url


class HlsEncoder:
    """Writes a live HLS playlist into a folder in real time, in a thread, until it is stopped.

    Attributes:
        written: Number of frames written so far.
        finishes: True to end the playlist when it is stopped; False to leave it as it is, as a dead encoder does.
    """

    def __init__(
        self,
        folder: Path,
        rate: int = 10,
        frames: int = 10**6,
        segment: float = 1.0,
        draw: Callable[[int], Image] = numbered_image,
        finishes: bool = True,
    ) -> None:
        self.written = 0
        self.finishes = finishes
        self._folder, self._rate, self._frames, self._segment, self._draw = folder, rate, frames, segment, draw
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "HlsEncoder":
        self._thread.start()
        while self._thread.is_alive() and not (self._folder / "live.m3u8").exists():
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        options = {"hls_time": str(self._segment), "hls_list_size": "8", "hls_flags": "delete_segments+temp_file"}
        if not self.finishes:
            options["hls_flags"] += "+omit_endlist"
        start = time.monotonic()
        with av.open(str(self._folder / "live.m3u8"), "w", format="hls", options=options) as container:
            stream = container.add_stream("libx264", rate=self._rate, options={"preset": "ultrafast", "bf": "0"})
            stream.height, stream.width, _ = self._draw(0).shape
            stream.codec_context.gop_size = max(1, round(self._rate * self._segment))
            stream.codec_context.options = {"tune": "zerolatency"}
            for number in range(self._frames):
                if self._stop.wait(max(0.0, start + number / self._rate - time.monotonic())):
                    break
                frame = av.VideoFrame.from_ndarray(self._draw(number), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, self._rate)
                container.mux(stream.encode(frame))
                self.written = number + 1
            container.mux(stream.encode(None))
