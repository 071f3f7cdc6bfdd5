"""Pictures of id switches, taken from the video in one pass."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.evaluation.drawing import Image
from tracker.evaluation.mot.alignment import Numbers, align
from tracker.evaluation.mot.files import Rows
from tracker.evaluation.mot.id_switches.events import id_switches
from tracker.evaluation.mot.id_switches.panels import HEIGHT, WIDTH, Boxes, View, draw_view, join
from tracker.structures.boxes import xywh_to_xyxy
from tracker.structures.types import Frame
from tracker.video import open_source

STEP = 0.4  # seconds between the moments shown before and after a switch
VIEWS = 5  # moments of a strip, at most
QUALITY = 92  # of JPEG


@dataclass(frozen=True)
class Switch:
    """An id switch and its picture.

    Attributes:
        sequence: Name.
        frame: The first one with the new id, counted from 1.
        time_s: Of that frame, seconds from the start of the video.
        object_id: Id in the truth.
        old_id: Id in the result.
        new_id: Id in the result.
        last_frame: The last one with the old id.
        picture: File name.
    """

    sequence: str
    frame: int
    time_s: float
    object_id: int
    old_id: int
    new_id: int
    last_frame: int
    picture: str


def draw_switches(name: str, found: Rows, truth: Rows, video: str, fps: float, folder: Path) -> Iterator[Switch]:
    """Writes a picture for each id switch of a sequence, in one pass over its video.

    Memory grows with the switches that are under way at one time, not with the video.

    Args:
        name: Of the sequence.
        found: (N, 7) rows of tracks.
        truth: (M, 7) rows of the truth.
        video: What `open_source` takes; its first frame is number 1.
        fps: Frames per second, where the video is a folder of pictures.
        folder: Where the pictures go; it is made for the first one.

    Yields:
        Each switch once its picture is written, by frame.

    Raises:
        InputError: The video cannot be read or ends too early, a picture cannot be written, or as `align`.
    """
    switches = _switches(name, found, truth)
    if not switches:
        return
    with open_source(video, SourceConfig(fps=fps)) as source:
        step = max(1, round(STEP * float(source.frame_rate)))
        last = int(max(found[:, 0].max(), truth[:, 0].max()))
        waiting = [_Strip(switch, _moments(switch, step, last), found, truth) for switch in switches]
        due: dict[int, list[_Strip]] = defaultdict(list)
        for strip in waiting:
            for moment in strip.moments:
                due[moment].append(strip)
        seen = 0
        for frame in source:
            seen = frame.index + 1
            for strip in due.pop(seen, []):
                strip.look(frame)
            while waiting and waiting[0].end <= seen:
                yield waiting.pop(0).write(folder)
            if not waiting:
                return
    for strip in waiting:
        if strip.switch.frame > seen:
            raise InputError(
                f"{video} ends at frame {seen}, before the id switch of {name} in frame {strip.switch.frame}: "
                "give the video that these tracks are of"
            )
        yield strip.write(folder)


def write_file(path: Path, data: bytes) -> None:
    """Writes a file, and makes its folder.

    Raises:
        InputError: It cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _switches(name: str, found: Rows, truth: Rows) -> list[Switch]:
    events = id_switches(align(found, truth, name))
    columns = (events.frames, events.last_frames, events.objects, events.old, events.new)
    return [
        Switch(name, frame, float("nan"), which, old, new, last, f"{name}_frame{frame:06d}_id{old}_to_id{new}.jpg")
        for frame, last, which, old, new in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _moments(switch: Switch, step: int, last: int) -> dict[int, str]:
    """The frames to show, ascending, and what each one is."""
    end, begin = switch.last_frame, switch.frame
    moments = {end: f"last as {switch.old_id}", begin: f"first as {switch.new_id}"}
    between = {(end + begin) // 2: "between"} if begin - end > 1 else {end - 2 * step: "before"}
    around = {end - step: "before", begin + step: "after"} | between
    return dict(sorted(({n: title for n, title in around.items() if 1 <= n <= last} | moments).items()))


class _Strip:
    """The picture of a switch in the making.

    Attributes:
        switch: What it is of.
        moments: The frames to show, and what each one is.
        end: The last one of them.
    """

    def __init__(self, switch: Switch, moments: dict[int, str], found: Rows, truth: Rows) -> None:
        self.switch = switch
        self.moments = moments
        self.end = max(moments)
        self._found = found
        rows, shown = truth[truth[:, 1] == switch.object_id], np.array([*moments])
        self._places = _places(rows, shown)
        self._truth = rows[np.isin(rows[:, 0], shown) & (rows[:, 6] != 0)]
        size = (self._places[:, 2:] - self._places[:, :2]).max(0)
        self._height = float(max(size[1], size[0] * HEIGHT / WIDTH))
        self._views: list[Image] = []

    def look(self, frame: Frame) -> None:
        """Draws one of the moments."""
        number = frame.index + 1
        if number <= self.switch.frame:
            self.switch = replace(self.switch, time_s=frame.time)
        tracks = self._found[self._found[:, 0] == number]
        view = View(
            title=self.moments[number],
            place=self._places[[*self.moments].index(number)],
            truth=_xyxy(self._truth[self._truth[:, 0] == number]),
            ids=tracks[:, 1].astype(np.int64),
            boxes=_xyxy(tracks),
            old=self.switch.old_id,
            new=self.switch.new_id,
        )
        self._views.append(draw_view(frame, view, self._height))

    def write(self, folder: Path) -> Switch:
        """Writes the picture."""
        switch = self.switch
        gone = switch.frame - switch.last_frame
        header = f"{switch.sequence}, frame {switch.frame}: object {switch.object_id} goes from id {switch.old_id} "
        header += f"to {switch.new_id}" + (f", {gone} frames after it was last matched" if gone > 1 else "")
        strip = join(self._views, VIEWS, header)
        _, data = cv2.imencode(".jpg", strip[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        write_file(folder / switch.picture, data.tobytes())
        return switch


def _xyxy(rows: Rows) -> Boxes:
    return np.asarray(xywh_to_xyxy(rows[:, 2:6]), np.float64)


def _places(rows: Rows, frames: Numbers) -> Boxes:
    """Where an object is in some frames, (n, 4) xyxy; between the frames of its rows on the straight line."""
    rows = rows[np.argsort(rows[:, 0])]
    boxes = _xyxy(rows)
    return np.stack([np.interp(frames, rows[:, 0], boxes[:, side]) for side in range(4)], 1)
