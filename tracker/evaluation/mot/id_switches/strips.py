"""Draws the id switches of a sequence in one pass over its video."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tracker.config import SourceConfig
from tracker.data.detections.seqinfo import read_seqinfo
from tracker.data.files import write_bytes
from tracker.errors import InputError
from tracker.evaluation.drawing import Image
from tracker.evaluation.mot.alignment import IntArray, align
from tracker.evaluation.mot.files import MotTable
from tracker.evaluation.mot.id_switches.events import find_id_switches
from tracker.evaluation.mot.id_switches.panels import HEIGHT, WIDTH, Boxes, Panel, draw_panel, join_panels
from tracker.structures.boxes import xywh_to_xyxy
from tracker.structures.types import Frame
from tracker.video import open_source

FRAME_INTERVAL = 0.4  # seconds between the frames shown before and after a switch
MAX_PANELS = 5  # of a strip
JPEG_QUALITY = 92


@dataclass(frozen=True)
class IdSwitch:
    """An id switch and the file of its image.

    Attributes:
        sequence: Name of the sequence.
        frame: First frame with the new id, from 1.
        time_s: Time of that frame, seconds from the start of the video.
        object_id: Id of the ground-truth object.
        old_id: Id of the track before the switch.
        new_id: Id of the track after it.
        last_frame: Last frame with the old id.
        image: File name.
    """

    sequence: str
    frame: int
    time_s: float
    object_id: int
    old_id: int
    new_id: int
    last_frame: int
    image: str


def draw_id_switches(name: str, tracks: MotTable, gt: MotTable, video: str, folder: Path) -> Iterator[IdSwitch]:
    """Writes an image for each id switch of a sequence, in one pass over its video.

    Memory grows with the number of switches whose frames are being read, not with the length of the video.

    Args:
        name: Name of the sequence.
        tracks: (N, 7), see `MotTable`.
        gt: (M, 7), see `MotTable`.
        video: A source of `open_source`; its first frame is number 1.
        folder: Folder for the images; it is created for the first one.

    Yields:
        Each switch once its image is written, by frame.

    Raises:
        InputError: The video cannot be read or ends too early, an image cannot be written, or see `align`.
    """
    switches = _find_switches(name, tracks, gt)
    if not switches:
        return
    with open_source(video, _source_config(Path(video))) as source:
        interval = max(1, round(FRAME_INTERVAL * float(source.frame_rate)))
        last = int(max(tracks[:, 0].max(), gt[:, 0].max()))
        pending = [_Strip(switch, _frames_to_show(switch, interval, last), tracks, gt) for switch in switches]
        strips_by_frame: dict[int, list[_Strip]] = defaultdict(list)
        for strip in pending:
            for frame_number in strip.frame_titles:
                strips_by_frame[frame_number].append(strip)
        last_read = 0
        for frame in source:
            last_read = frame.index + 1
            for strip in strips_by_frame.pop(last_read, []):
                strip.add_frame(frame)
            while pending and pending[0].last_shown_frame <= last_read:
                yield pending.pop(0).write(folder)
            if not pending:
                return
    for strip in pending:
        if strip.switch.frame > last_read:
            raise InputError(
                f"{video} ends at frame {last_read}, before the id switch of {name} in frame {strip.switch.frame}: "
                "give the video that these tracks are of"
            )
        yield strip.write(folder)


def _source_config(video: Path) -> SourceConfig:
    """Returns the frame rate of a folder of images, from the seqinfo.ini beside it; videos have their own."""
    if not video.is_dir():
        return SourceConfig()
    return SourceConfig(fps=read_seqinfo(video, float(SourceConfig().fps)).frame_rate)


def write_file(path: Path, data: bytes) -> None:
    """Writes a file, and creates its folder.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    write_bytes(path, data)


def _find_switches(name: str, tracks: MotTable, gt: MotTable) -> list[IdSwitch]:
    events = find_id_switches(align(tracks, gt, name))
    columns = (events.frames, events.last_frames, events.gt_ids, events.old_ids, events.new_ids)
    return [
        IdSwitch(name, frame, float("nan"), gt, old, new, last_frame, f"{name}_frame{frame:06d}_id{old}_to_id{new}.jpg")
        for frame, last_frame, gt, old, new in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _frames_to_show(switch: IdSwitch, interval: int, last_frame: int) -> dict[int, str]:
    """Returns the numbers of the frames to show, ascending, with their titles."""
    end, begin = switch.last_frame, switch.frame
    titles = {end: f"last as {switch.old_id}", begin: f"first as {switch.new_id}"}
    between = {(end + begin) // 2: "between"} if begin - end > 1 else {end - 2 * interval: "before"}
    around = {end - interval: "before", begin + interval: "after"} | between
    titles |= {number: title for number, title in around.items() if 1 <= number <= last_frame and number not in titles}
    return dict(sorted(titles.items()))


class _Strip:
    """The image of an id switch, drawn frame by frame.

    Attributes:
        switch: The id switch.
        frame_titles: Numbers of the frames to show, with their titles.
        last_shown_frame: The last one of them.
    """

    def __init__(self, switch: IdSwitch, frame_titles: dict[int, str], tracks: MotTable, gt: MotTable) -> None:
        self.switch = switch
        self.frame_titles = frame_titles
        self.last_shown_frame = max(frame_titles)
        self._tracks = tracks
        object_rows, frames = gt[gt[:, 1] == switch.object_id], np.array([*frame_titles])
        self._object_boxes = _interpolate_boxes(object_rows, frames)
        self._gt = object_rows[np.isin(object_rows[:, 0], frames) & (object_rows[:, 6] != 0)]
        size = (self._object_boxes[:, 2:] - self._object_boxes[:, :2]).max(0)
        self._object_height = float(max(size[1], size[0] * HEIGHT / WIDTH))
        self._panels: list[Image] = []

    def add_frame(self, frame: Frame) -> None:
        """Draws one of the frames to show."""
        number = frame.index + 1
        if number <= self.switch.frame:
            self.switch = replace(self.switch, time_s=frame.time)
        tracks = self._tracks[self._tracks[:, 0] == number]
        panel = Panel(
            title=self.frame_titles[number],
            box=self._object_boxes[[*self.frame_titles].index(number)],
            gt_boxes=_boxes(self._gt[self._gt[:, 0] == number]),
            track_ids=tracks[:, 1].astype(np.int64),
            track_boxes=_boxes(tracks),
            old_id=self.switch.old_id,
            new_id=self.switch.new_id,
        )
        self._panels.append(draw_panel(frame, panel, self._object_height))

    def write(self, folder: Path) -> IdSwitch:
        """Writes the image."""
        switch = self.switch
        gap = switch.frame - switch.last_frame
        header = f"{switch.sequence}, frame {switch.frame}: object {switch.object_id} goes from id {switch.old_id} "
        header += f"to {switch.new_id}" + (f", {gap} frames after it was last matched" if gap > 1 else "")
        strip = join_panels(self._panels, MAX_PANELS, header)
        _, data = cv2.imencode(".jpg", strip[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_file(folder / switch.image, data.tobytes())
        return switch


def _boxes(table: MotTable) -> Boxes:
    return np.asarray(xywh_to_xyxy(table[:, 2:6]), np.float64)


def _interpolate_boxes(table: MotTable, frames: IntArray) -> Boxes:
    """Returns the boxes of an object in some frames, (n, 4) xyxy; linear between the frames of its rows."""
    table = table[np.argsort(table[:, 0])]
    boxes = _boxes(table)
    return np.stack([np.interp(frames, table[:, 0], boxes[:, side]) for side in range(4)], 1)
