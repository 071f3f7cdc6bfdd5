"""The window of --show."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tracker.config import Config
from tracker.errors import InputError
from tracker.output import Annotator
from tracker.structures.types import Frame, Tracks
from tracker.video import Source


class Window:
    """An OpenCV window with the annotated frames; q or Escape in it, or closing it, ends the run."""

    NAME = "tracker"

    def __init__(self, categories: Callable[[], Sequence[str]], config: Config) -> None:
        self._categories = categories
        self._config = config
        self._annotator: Annotator | None = None

    def show(self, source: Source, frame: Frame, tracks: Tracks) -> bool:
        """Shows a frame with its tracks; returns False once the window is closed."""
        import cv2

        size = max(1, round(source.width * source.sample_aspect_ratio)), source.height  # as a player shows it
        if self._annotator is None:
            cv2.resizeWindow(self.NAME, *size)
            self._annotator = Annotator(self._categories(), source.width, source.height, self._config.output)
        image = self._annotator.annotate(frame, tracks)[:, :, ::-1]
        cv2.imshow(self.NAME, image if size[0] == source.width else cv2.resize(image, size))
        pressed = cv2.waitKey(1) & 0xFF
        return pressed not in (ord("q"), 27) and cv2.getWindowProperty(self.NAME, cv2.WND_PROP_VISIBLE) > 0


@contextmanager
def open_window(categories: Callable[[], Sequence[str]], config: Config) -> Iterator[Window]:
    """Opens a window inside the `with` block; arguments as those of `Window`.

    Raises:
        InputError: There is no screen.
    """
    import cv2

    # OpenCV's toolkits end the process if there is no screen, so another process tries first.
    attempt = f"import cv2; cv2.namedWindow({Window.NAME!r})"
    if subprocess.run([sys.executable, "-c", attempt], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0:
        raise InputError("--show needs a screen, and there is none here: leave it out")
    cv2.namedWindow(Window.NAME, cv2.WINDOW_NORMAL)
    try:
        yield Window(categories, config)
    finally:
        cv2.destroyAllWindows()
