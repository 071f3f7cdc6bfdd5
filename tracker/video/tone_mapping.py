"""Tone mapping of HDR video (HLG and PQ) to the standard range, for networks and for 8-bit output.

The values of both are turned into the light that a reference display of `PEAK` cd/m2 emits, in BT.2020, and that into
BT.709 colors. Light above a knee is compressed so that `PEAK` becomes white. A table with interpolation does it.

Sources: ITU-R BT.2100-2, tables 4 and 5 (PQ, HLG); BT.2390-11, 5.4 (EETF); BT.2087-0, 3 (BT.2020 to BT.709);
BT.2408-5, 2.1 (reference white); BT.1886 (gamma).
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from av import VideoFrame
from av.filter import Graph
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PEAK = 1000.0
"""The brightest light that keeps its shades, cd/m2: that of the display for which HLG is defined, and for which most
PQ video is made."""

REFERENCE_WHITE = 203.0
"""The light of a white sheet in HDR, cd/m2. It is what the display of the standard range can emit at most."""

TABLE_SIZE = 33
"""Entries for each color; between them results are interpolated, for most colors exact to one level of 8 bits."""

_FORMAT = "gbrp16le"
_DISPLAY_GAMMA = 2.4
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)  # fmt: skip
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593])


def pq_to_light(signal: Floats) -> Floats:
    """Returns the light, cd/m2, of PQ values from 0 to 1."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    light: Floats = 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return light


def light_to_pq(light: Floats) -> Floats:
    """Returns the PQ values of light in cd/m2."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (light / 10000) ** m1
    signal: Floats = ((c1 + c2 * power) / (1 + c3 * power)) ** m2
    return signal


def hlg_to_light(signal: Floats) -> Floats:
    """Returns the light, cd/m2, that a display of `PEAK` cd/m2 emits for (..., 3) RGB values of HLG from 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ _BT2020_LUMINANCE
    light: Floats = PEAK * luminance[..., None] ** 0.2 * scene  # a system gamma of 1.2 at 1000 cd/m2
    return light


def compress(light: Floats) -> Floats:
    """Returns light from 0 to `REFERENCE_WHITE` for light from 0 to `PEAK`; dark light stays as it is."""
    source_peak, target_peak = (float(light_to_pq(np.array(peak))) for peak in (PEAK, REFERENCE_WHITE))
    signal = np.minimum(light_to_pq(light) / source_peak, 1)
    highest = target_peak / source_peak
    knee = 1.5 * highest - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * highest
    return pq_to_light(np.where(signal < knee, signal, spline) * source_peak)


_TO_LIGHT: dict[int, tuple[str, Callable[[Floats], Floats]]] = {16: ("PQ", pq_to_light), 18: ("HLG", hlg_to_light)}
"""By AVColorTransferCharacteristic; BT.2100 has no others. Source: ITU-T H.273, table 3."""


def hdr_name(transfer: int) -> str:
    """Returns "PQ" or "HLG" for a transfer characteristic of H.273; "" for those of the standard range."""
    return _TO_LIGHT[transfer][0] if transfer in _TO_LIGHT else ""


def tone_map(signal: Floats, transfer: int) -> Floats:
    """Returns BT.709 RGB from 0 to 1 for (..., 3) RGB values of HLG or PQ in BT.2020 from 0 to 1.

    Example:
        >>> gray = tone_map(np.array([0.0, 0.38, 0.75, 1.0])[:, None].repeat(3, 1), 18)
        >>> gray[:, 0].round(2).tolist()  # black, 18 % gray, a white sheet, the brightest light
        [0.0, 0.43, 0.9, 1.0]
    """
    light = np.maximum(_TO_LIGHT[transfer][1](signal) @ _BT2020_TO_BT709.T, 0)
    mapped: Floats = (compress(light) / REFERENCE_WHITE) ** (1 / _DISPLAY_GAMMA)
    return np.clip(mapped, 0, 1)


class ToneMapper:
    """Converts HDR frames of one transfer characteristic to RGB.

    Args:
        transfer: 16 (PQ) or 18 (HLG), as H.273 counts them.
        threads: See `RGBConverter`.
    """

    def __init__(self, transfer: int, threads: int) -> None:
        self._transfer = transfer
        self._threads = threads
        self._reformatter = VideoReformatter()
        self._graph: Graph | None = None
        self._size = (0, 0)

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Returns a frame as uint8 (H, W, 3), RGB, as it is stored."""
        if self._graph is None or self._size != (frame.width, frame.height):
            self._graph, self._size = self._make_graph(frame), (frame.width, frame.height)
        self._graph.vpush(self._reformatter.reformat(frame, format=_FORMAT, threads=self._threads))
        planes = self._graph.vpull().planes
        rgb = np.empty((frame.height, frame.width, 3), np.uint8)
        for plane, channel in zip(planes, (1, 2, 0), strict=True):  # green, blue, red
            rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(frame.height, plane.line_size)
            rgb[:, :, channel] = rows[:, 1 : 2 * frame.width : 2]  # the upper byte
        return rgb

    def _make_graph(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=cast(Any, _FORMAT), time_base=Fraction(1, 1000)
        )
        with TemporaryDirectory() as folder:
            file = Path(folder, "table.cube")
            _write_table(file, self._transfer)
            graph.link_nodes(source, graph.add("lut3d", file=str(file)), graph.add("buffersink")).configure()
        return graph


def _write_table(path: Path, transfer: int) -> None:
    """Writes the table as FFmpeg's filter lut3d reads it, with red in the fastest changing place."""
    levels = np.linspace(0, 1, TABLE_SIZE)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    mapped = tone_map(np.stack([red, green, blue], -1).reshape(-1, 3), transfer)
    # Such that the upper byte of 16 bits is the level of 8 bits, rounded.
    values = (mapped * 65280 + 128) / 65535
    lines = "".join(f"{r:.6f} {g:.6f} {b:.6f}\n" for r, g, b in values.tolist())
    path.write_text(f"LUT_3D_SIZE {TABLE_SIZE}\n{lines}", encoding="ascii")
