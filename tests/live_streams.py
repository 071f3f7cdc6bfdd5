"""A live stream on this machine, for tests."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def streamed(data: bytes, silent: bool) -> Iterator[str]:
    """The address of a live stream: no length is told, and after the data it ends, or is silent."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            for n in range(0, len(data), 4096):
                self.wfile.write(data[n : n + 4096])
                over.wait(0.01)
            if silent:
                over.wait(20)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/camera"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
