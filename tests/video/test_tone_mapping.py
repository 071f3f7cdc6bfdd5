"""Tone mapping of HLG and PQ: the values of the standards, and a picture that looks right."""

import numpy as np
import pytest

from tracker.video.tone_mapping import (
    PEAK,
    REFERENCE_WHITE,
    compress,
    hdr_name,
    hlg_to_light,
    light_to_pq,
    pq_to_light,
    tone_map,
)

PQ, HLG = 16, 18


@pytest.mark.parametrize(("light", "signal"), [(0, 0.0), (26, 0.38), (203, 0.58), (1000, 0.75), (10000, 1.0)])
def test_pq(light: float, signal: float) -> None:
    """Source: ITU-R BT.2408, table 1, and BT.2100, table 4."""
    assert light_to_pq(np.array(light)) == pytest.approx(signal, abs=0.005)
    assert pq_to_light(light_to_pq(np.array(float(light)))) == pytest.approx(light, abs=1e-6)


@pytest.mark.parametrize(("light", "signal"), [(0, 0.0), (26, 0.38), (203, 0.75), (1000, 1.0)])
def test_hlg(light: float, signal: float) -> None:
    """Source: ITU-R BT.2408, table 1."""
    assert hlg_to_light(np.full((1, 3), signal)) == pytest.approx(light, rel=0.03)


def test_the_compression_keeps_dark_light_and_the_order() -> None:
    light = np.linspace(0, PEAK, 500)
    compressed = compress(light)
    assert (np.diff(compressed) > 0).all()
    assert compressed[light < 50] == pytest.approx(light[light < 50])
    assert compressed[-1] == pytest.approx(REFERENCE_WHITE)
    assert compress(np.array([4000.0])) == pytest.approx(REFERENCE_WHITE)


@pytest.mark.parametrize(("transfer", "gray", "white"), [(PQ, 0.38, 0.58), (HLG, 0.38, 0.75)])
@pytest.mark.smoke
def test_gray_and_white_look_as_in_standard_video(transfer: int, gray: float, white: float) -> None:
    mapped = tone_map(np.array([[0.0] * 3, [gray] * 3, [white] * 3, [1.0] * 3]), transfer)
    assert mapped[:, 0] == pytest.approx([0, 0.42, 0.9, 1], abs=0.02)
    assert np.ptp(mapped, axis=1) == pytest.approx(0, abs=0.002)  # gray stays gray


def test_colors_keep_their_hue() -> None:
    """A BT.709 color that is expressed in BT.2020 comes back."""
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    colors = np.array([[1.0, 0.1, 0.1], [0.1, 1.0, 0.1], [0.1, 0.1, 1.0], [0.8, 0.6, 0.2]]) * 40
    mapped = tone_map(light_to_pq(colors @ to_bt2020.T), PQ)
    assert mapped == pytest.approx((colors / REFERENCE_WHITE) ** (1 / 2.4), abs=0.01)


def test_names() -> None:
    assert [hdr_name(transfer) for transfer in (1, 2, PQ, HLG, 14)] == ["", "", "PQ", "HLG", ""]
