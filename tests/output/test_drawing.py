"""What is drawn into the pictures, and that it stays where it can be seen."""

import av
import cv2
import numpy as np
import pytest

from paths import CLIPS
from tracker.output import AnnotatedVideoWriter, Annotator, open_writer
from tracker.structures.types import Frame
from video_results import CONFIG, decoded, frame, info, tracks

pytestmark = pytest.mark.filterwarnings("error")


def painted(image, background=90):
    """(H, W) bool, where something was drawn."""
    return (image != background).any(axis=2)


def test_drawing_leaves_the_frame_alone_and_keeps_an_ids_colour():
    annotator = Annotator(["person", "car"], 320, 240, 0)
    still = frame(0, 320, 240)
    still.image.flags.writeable = False
    first = annotator.draw(still, tracks([7], [[100, 100, 150, 200]]))
    assert (still.image == 90).all()
    other = Annotator(["person", "car"], 320, 240, 0).draw(frame(9, 320, 240), tracks([7], [[20, 100, 70, 200]]))
    np.testing.assert_array_equal(first[200, 120], other[200, 40])
    third = annotator.draw(frame(1, 320, 240), tracks([8], [[100, 100, 150, 200]]))
    assert np.abs(first[200, 120].astype(int) - third[200, 120]).max() > 60


def test_successive_ids_have_well_spread_colours():
    from tracker.output.drawing import colour_of

    colours = np.array([colour_of(i) for i in range(1, 11)])
    distance = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(10, dtype=int)
    assert distance.min() > 40


def test_a_predicted_box_is_dashed():
    annotator = Annotator(["person"], 320, 240, 0)
    box = [[100, 50, 200, 200]]
    solid = painted(annotator.draw(frame(0, 320, 240), tracks([1], box)))[200, 101:200]
    dashed = painted(annotator.draw(frame(1, 320, 240), tracks([1], box, observed=[False])))[200, 101:200]
    assert solid.all() and 0.3 < dashed.mean() < 0.7


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (3840, 2160)])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_labels_stay_inside_and_can_be_read(size, corner):
    width, height = size
    x, y = corner[0] * (width - 20), corner[1] * (height - 20)
    image = Annotator(["person"], width, height, 0).draw(
        frame(0, width, height), tracks([12], [[x, y, x + 19, y + 19]])
    )
    ys, xs = np.nonzero(painted(image))
    assert np.ptp(xs) + 1 >= 0.05 * width and np.ptp(xs) >= 50  # the whole plate, moved inwards where needed
    assert np.ptp(ys) + 1 >= 12
    plate = image[ys.min() : ys.max(), xs.min() : xs.max()].astype(float) @ [0.299, 0.587, 0.114]
    assert np.ptp(plate) > 100


def test_a_box_far_outside_draws_nothing_and_a_huge_one_is_no_trouble():
    annotator = Annotator(["person"], 64, 48, 2)
    assert not painted(annotator.draw(frame(0), tracks([1], [[500, 500, 600, 600]]))).any()
    huge = tracks([1], [[-1e9, -1e9, 1e9, 1e9]], observed=[False])
    assert annotator.draw(frame(1), huge).shape == (48, 64, 3)


def test_a_trail_follows_the_feet_and_ends_after_its_time():
    annotator = Annotator(["person"], 320, 240, 1.0)
    for index in range(50):  # two seconds: the feet go from x = 40 to 236
        x = 30 + 4 * index
        image = annotator.draw(frame(index, 320, 240), tracks([1], [[x, 100, x + 20, 200]]))
    drawn = painted(image)[200]
    assert drawn[150:236].all()  # the last second
    assert not drawn[:125].any()
    for index in range(50, 100):
        annotator.draw(frame(index, 320, 240), tracks())
    later = annotator.draw(frame(100, 320, 240), tracks([1], [[226, 100, 246, 200]]))
    assert not painted(later)[200, :220].any()


def test_drawing_forgets_tracks_that_are_gone():
    annotator = Annotator(["person"], 64, 48, 1.0)
    for index in range(300):
        annotator.draw(frame(index), tracks([index + 1], [[5, 5, 30, 40]]))
    assert len(annotator._trails) <= 26


def test_real_frames_get_their_drawing(tmp_path):
    clip = CLIPS / "one_by_one_person.mp4"
    if not clip.exists():
        pytest.skip(f"{clip} is absent")
    with av.open(str(clip)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    height, width = picture.shape[:2]
    boxes = tracks([1], [[100, 100, 200, 300]])
    drawn = Annotator(["person"], width, height, 2).draw(Frame(0, 0.0, 0, picture), boxes)
    changed = (drawn != picture).any(axis=2)
    assert 0 < changed.mean() < 0.05
    assert cv2.boundingRect(changed.astype(np.uint8))[2] <= 110


def test_the_video_shows_the_drawing(tmp_path):
    with open_writer(tmp_path / "a.mp4", info(320, 240), ["person"], CONFIG) as writer:
        assert isinstance(writer, AnnotatedVideoWriter)
        writer.write(frame(0, 320, 240), tracks([1], [[100, 100, 200, 200]]))
    (picture,) = decoded(tmp_path / "a.mp4")
    assert np.abs(picture[200, 150].astype(int) - 90).max() > 40
    assert np.abs(picture[150, 150].astype(int) - 90).max() < 10
