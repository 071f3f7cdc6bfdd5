"""`track demo`: draws a clip from two photographs, in which a person and a cat pass each other, and tracks it."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.cli.options import CommandApp, Quiet
from tracker.cli.track import track
from tracker.data.files import replace_file
from tracker.errors import InputError

WIDTH, HEIGHT, RATE, FRAMES = 640, 360, 25, 150
Image = NDArray[np.uint8]

app = CommandApp(name="demo")


@app.default
def demo(*, quiet: Quiet = False) -> int:
    """Runs the command; returns the exit code."""
    folder = Path("tracked")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} for the clip: {error.strerror}") from None
    clip = folder / "demo.mp4"
    draw_clip(clip)
    return track((str(clip),), quiet=quiet)


def draw_clip(path: Path) -> None:
    """Writes the clip: 640x360, 25 frames/s, 6 seconds, H.264.

    Raises:
        InputError: The file cannot be written.
    """
    background = _background()
    astronaut, cat = (_read_photograph(name, height) for name, height in (("astronaut.jpg", 240), ("cat.jpg", 120)))
    try:
        with (
            replace_file(path) as temporary,
            av.open(f"file:{temporary}", "w", format="mp4", options={"movflags": "faststart"}) as container,
        ):
            stream = container.add_stream("libx264", rate=Fraction(RATE), options={"crf": "20", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for n in range(FRAMES):
                image = background.copy()
                progress = n / (FRAMES - 1)
                sway = 8 * np.sin(progress * 6 * np.pi)
                _paste(image, astronaut, -20 + progress * 470, 12 + sway)
                _paste(image, cat, WIDTH - 190 - progress * 430, 228 - sway)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    except OSError as error:
        raise InputError(f"cannot write the demo clip {path}: {error.strerror}") from None


def _read_photograph(name: str, height: int) -> Image:
    with av.open(str(Path(__file__).parent / "demo_images" / name)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _background() -> Image:
    shade = np.linspace(205, 150, HEIGHT)[:, None, None] * np.array([1.0, 0.99, 0.96])
    return np.broadcast_to(shade, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def _paste(image: Image, part: Image, left: float, top: float) -> None:
    """Pastes `part` into `image` with its corner at whole pixels, clipped at the borders."""
    x, y = round(left), round(top)
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + part.shape[1], WIDTH), min(y + part.shape[0], HEIGHT)
    image[y1:y2, x1:x2] = part[y1 - y : y2 - y, x1 - x : x2 - x]
