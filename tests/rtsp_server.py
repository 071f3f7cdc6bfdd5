"""A real RTSP server on this machine, for tests: GStreamer's, which Debian's python3-gi runs in a process of its own.

Run as a program by the system's Python, it serves numbered images of WIDTH x HEIGHT pixels at RATE frames per second:
rtsp_server.py PORT WIDTH HEIGHT RATE [USER PASSWORD]. It writes a line for each frame that it hands over to a client's
pipeline, and obeys lines on its standard input: `freeze SECONDS` keeps back all frames for so long.
"""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"
BITS, BLOCK, _GRAY = 16, 8, 140  # the number of a frame: gray and black squares at the bottom, lowest bit left


@dataclass
class RtspServer:
    """A server process, which can be killed and started again at the same address."""

    port: int
    width: int = 160
    height: int = 120
    rate: int = 20
    credentials: tuple[str, str] | None = None
    sent: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/stream"

    def start(self) -> None:
        """Starts the process, and waits until it listens."""
        arguments = [self.port, self.width, self.height, self.rate, *(self.credentials or ())]
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, __file__, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.sent.append(int(line))

    def freeze(self, seconds: float) -> None:
        """Keeps back all frames for so long, without closing a connection."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"freeze {seconds}\n")

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def read_frame_number(image: Any) -> int:
    """Returns the number of a frame of the server, by its RGB image."""
    squares = image[-BLOCK:, : BITS * BLOCK].reshape(BLOCK, BITS, -1).mean(axis=(0, 2))
    return sum(int(mean > _GRAY / 2) << bit for bit, mean in enumerate(squares))


def missing_packages() -> str:
    """Returns the reason for which no server can be started; empty if one can."""
    if not Path(SYSTEM_PYTHON).exists():
        return "there is no Python of the system"
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer, Gst; "
    code += "Gst.init(None); assert Gst.ElementFactory.find('x264enc')"
    if subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, check=False).returncode:
        return "needs Debian's python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-{good,bad,ugly}"
    return ""


@contextmanager
def rtsp_server(port: int, **settings: object) -> Iterator[RtspServer]:
    """Yields a running server."""
    server = RtspServer(port, **settings)  # type: ignore[arg-type]
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _main() -> None:
    import gi  # type: ignore[import-not-found]

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]

    port, width, height, rate = map(int, sys.argv[1:5])
    Gst.init(None)
    frozen_until, number = 0.0, 0

    def obey() -> None:
        nonlocal frozen_until
        for line in sys.stdin:
            frozen_until = time.monotonic() + float(line.split()[1])
        loop.quit()

    class Factory(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc]
        def do_create_element(self, url: object) -> object:
            caps = f"video/x-raw,format=GRAY8,width={width},height={height},framerate={rate}/1"
            pipeline = Gst.parse_launch(
                f"( appsrc name=source is-live=true format=time do-timestamp=false caps={caps} ! videoconvert ! "
                f"video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={rate} ! "
                "rtph264pay name=pay0 pt=96 config-interval=1 )"
            )
            source = pipeline.get_by_name("source")
            threading.Thread(target=feed, args=(source,), daemon=True).start()
            return pipeline

    def feed(source: object) -> None:
        nonlocal number
        start = time.monotonic()
        for position in itertools.count():
            time.sleep(max(0.0, start + position / rate - time.monotonic()))
            if time.monotonic() >= frozen_until:
                buffer = Gst.Buffer.new_wrapped(_gray(number, width, height))
                buffer.pts = position * Gst.SECOND // rate
                buffer.duration = Gst.SECOND // rate
                if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:  # type: ignore[attr-defined]
                    return
                print(number, flush=True)
                number += 1

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = Factory()
    factory.set_shared(True)
    if len(sys.argv) > 5:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(sys.argv[5], sys.argv[6]), token)
        server.set_auth(auth)
        role = {"media.factory.access": True, "media.factory.construct": True}
        structure = Gst.Structure.new_empty("user")
        for name, value in role.items():
            structure.set_value(name, value)
        factory.add_role_from_structure(structure)
    server.get_mount_points().add_factory("/stream", factory)
    server.attach(None)
    loop = GLib.MainLoop()
    threading.Thread(target=obey, daemon=True).start()
    print("ready", flush=True)
    loop.run()


def _gray(number: int, width: int, height: int) -> bytes:
    """Returns the image of `stub_networks.moving_rectangles` with its number, as rows of one byte for each pixel."""
    rows = [bytearray([30]) * width for _ in range(height)]
    x = 10 + number * 2 % (width - 40)
    for y in range(15, 55):
        rows[y][x : x + 16] = bytes([230]) * 16
    for bit in range(BITS):
        shade = _GRAY if number >> bit & 1 else 0
        for y in range(height - BLOCK, height):
            rows[y][bit * BLOCK : (bit + 1) * BLOCK] = bytes([shade]) * BLOCK
    return b"".join(rows)


if __name__ == "__main__":
    _main()
