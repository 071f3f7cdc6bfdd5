"""Drawing of boxes, labels and trails."""

import av
import cv2
import numpy as np
import pytest

from paths import CLIPS
from tracker.output import AnnotatedVideoWriter, Annotator, open_writer
from tracker.output.drawing import track_color
from tracker.structures.types import Frame
from video_results import CONFIG, decode_images, make_frame, make_info, make_tracks

pytestmark = pytest.mark.filterwarnings("error")


def drawn_pixels(image, background=90):
    """Returns bool (H, W), True where something was drawn."""
    return (image != background).any(axis=2)


def test_frame_is_not_changed_and_an_id_keeps_its_color():
    annotator = Annotator(["person", "car"], 320, 240, 0)
    frame = make_frame(0, 320, 240)
    frame.image.flags.writeable = False
    first = annotator.annotate(frame, make_tracks([7], [[100, 100, 150, 200]]))
    assert (frame.image == 90).all()
    same_id = Annotator(["person", "car"], 320, 240, 0).annotate(
        make_frame(9, 320, 240), make_tracks([7], [[20, 100, 70, 200]])
    )
    np.testing.assert_array_equal(first[200, 120], same_id[200, 40])
    other_id = annotator.annotate(make_frame(1, 320, 240), make_tracks([8], [[100, 100, 150, 200]]))
    assert np.abs(first[200, 120].astype(int) - other_id[200, 120]).max() > 60


def test_successive_ids_have_distinct_colors():
    colors = np.array([track_color(i) for i in range(1, 11)])
    distance = np.abs(colors[:, None] - colors[None]).sum(-1) + 1000 * np.eye(10, dtype=int)
    assert distance.min() > 40


def test_predicted_box_is_dashed():
    annotator = Annotator(["person"], 320, 240, 0)
    observed_tracks = make_tracks([1], [[100, 50, 200, 200]])
    predicted_tracks = make_tracks([1], [[100, 50, 200, 200]], observed=[False])
    solid = drawn_pixels(annotator.annotate(make_frame(0, 320, 240), observed_tracks))[200, 101:200]
    dashed = drawn_pixels(annotator.annotate(make_frame(1, 320, 240), predicted_tracks))[200, 101:200]
    assert solid.all() and 0.3 < dashed.mean() < 0.7


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (3840, 2160)])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.smoke
def test_labels_stay_inside_the_image_and_are_readable(size, corner):
    width, height = size
    x, y = corner[0] * (width - 20), corner[1] * (height - 20)
    image = Annotator(["person"], width, height, 0).annotate(
        make_frame(0, width, height), make_tracks([12], [[x, y, x + 19, y + 19]])
    )
    ys, xs = np.nonzero(drawn_pixels(image))
    assert np.ptp(xs) + 1 >= 0.05 * width and np.ptp(xs) >= 50  # the complete label, moved inwards where needed
    assert np.ptp(ys) + 1 >= 12
    luminance = image[ys.min() : ys.max(), xs.min() : xs.max()].astype(float) @ [0.299, 0.587, 0.114]
    assert np.ptp(luminance) > 100


def test_boxes_far_outside_and_huge_boxes():
    annotator = Annotator(["person"], 64, 48, 2)
    assert not drawn_pixels(annotator.annotate(make_frame(0), make_tracks([1], [[500, 500, 600, 600]]))).any()
    huge = make_tracks([1], [[-1e9, -1e9, 1e9, 1e9]], observed=[False])
    assert annotator.annotate(make_frame(1), huge).shape == (48, 64, 3)


@pytest.mark.smoke
def test_trail_follows_the_bottom_center_and_expires():
    annotator = Annotator(["person"], 320, 240, 1.0)
    for index in range(50):  # two seconds: the bottom center moves from x = 40 to 236
        x = 30 + 4 * index
        image = annotator.annotate(make_frame(index, 320, 240), make_tracks([1], [[x, 100, x + 20, 200]]))
    drawn = drawn_pixels(image)[200]
    assert drawn[150:236].all()  # the last second
    assert not drawn[:125].any()
    for index in range(50, 100):
        annotator.annotate(make_frame(index, 320, 240), make_tracks())
    later = annotator.annotate(make_frame(100, 320, 240), make_tracks([1], [[226, 100, 246, 200]]))
    assert not drawn_pixels(later)[200, :220].any()


def test_trails_of_absent_tracks_are_deleted():
    annotator = Annotator(["person"], 64, 48, 1.0)
    for index in range(300):
        annotator.annotate(make_frame(index), make_tracks([index + 1], [[5, 5, 30, 40]]))
    assert len(annotator._trails) <= 26


def test_annotating_a_real_frame(tmp_path):
    clip = CLIPS / "one_by_one_person.mp4"
    if not clip.exists():
        pytest.skip(f"{clip} is absent")
    with av.open(str(clip)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    height, width = image.shape[:2]
    tracks = make_tracks([1], [[100, 100, 200, 300]])
    annotated = Annotator(["person"], width, height, 2).annotate(Frame(0, 0.0, 0, image), tracks)
    changed = (annotated != image).any(axis=2)
    assert 0 < changed.mean() < 0.05
    assert cv2.boundingRect(changed.astype(np.uint8))[2] <= 110


def test_video_contains_the_annotations(tmp_path):
    with open_writer(tmp_path / "a.mp4", make_info(320, 240), ["person"], CONFIG) as writer:
        assert isinstance(writer, AnnotatedVideoWriter)
        writer.write(make_frame(0, 320, 240), make_tracks([1], [[100, 100, 200, 200]]))
    (image,) = decode_images(tmp_path / "a.mp4")
    assert np.abs(image[200, 150].astype(int) - 90).max() > 40
    assert np.abs(image[150, 150].astype(int) - 90).max() < 10
