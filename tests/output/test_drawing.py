"""Drawing of boxes, labels and trails."""

import av
import cv2
import numpy as np
import pytest

from paths import CLIPS
from tracker.config import ResultConfig
from tracker.output import AnnotatedVideoWriter, Annotator, open_writer
from tracker.output.drawing import track_color
from tracker.output.labels import LabelLayout
from tracker.structures.types import Frame
from video_results import CONFIG, decode_images, make_frame, make_info, make_tracks

pytestmark = pytest.mark.filterwarnings("error")


def drawn_pixels(image, background=90):
    """Returns bool (H, W), True where something was drawn."""
    return (image != background).any(axis=2)


def test_frame_is_not_changed_and_an_id_keeps_its_color():
    annotator = Annotator(["person", "car"], 320, 240, ResultConfig(trail=0))
    frame = make_frame(0, 320, 240)
    frame.image.flags.writeable = False
    first = annotator.annotate(frame, make_tracks([7], [[100, 100, 150, 200]]))
    assert (frame.image == 90).all()
    same_id = Annotator(["person", "car"], 320, 240, ResultConfig(trail=0)).annotate(
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
    annotator = Annotator(["person"], 320, 240, ResultConfig(trail=0))
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
    image = Annotator(["person"], width, height, ResultConfig(trail=0)).annotate(
        make_frame(0, width, height), make_tracks([12], [[x, y, x + 19, y + 19]])
    )
    ys, xs = np.nonzero(drawn_pixels(image))
    assert np.ptp(xs) + 1 >= 0.05 * width and np.ptp(xs) >= 50  # the complete label, moved inwards where needed
    assert np.ptp(ys) + 1 >= 12
    luminance = image[ys.min() : ys.max(), xs.min() : xs.max()].astype(float) @ [0.299, 0.587, 0.114]
    assert np.ptp(luminance) > 100


def arrange(layout, boxes, ids=None):
    """Returns the labels of boxes, all of whose texts are 60, 40 or 10 pixels wide and 12 high."""
    texts = [[("full", 60, 12), ("class", 40, 12), ("id", 10, 12)]] * len(boxes)
    return layout.arrange(ids or list(range(len(boxes))), [tuple(box) for box in boxes], texts)


def test_labels_do_not_cover_each_other():
    random = np.random.default_rng(0)
    layout = LabelLayout(320, 240)
    for _ in range(20):
        corners = random.integers(-20, 300, (40, 2))
        boxes = np.concatenate([corners, corners + random.integers(5, 80, (40, 2))], 1).tolist()
        found = [label for label in arrange(layout, boxes) if label is not None]
        assert len(found) > 20
        covered = np.zeros((240, 320), int)
        for _, (left, top, width, height) in found:
            assert left >= 0 and top >= 0 and left + width <= 320 and top + height <= 240
            covered[top : top + height, left : left + width] += 1
        assert covered.max() == 1


def test_a_label_moves_before_its_text_gets_shorter_and_the_score_is_the_first_to_go():
    same = arrange(LabelLayout(320, 240), [[100, 100, 130, 160]] * 7)
    places = [label and (label[0], label[1].left, label[1].top) for label in same]
    assert places[:4] == [("full", 100, top) for top in (88, 160, 100, 148)]  # above, below, in the edges
    assert places[4:] == [("full", 40, 100), ("full", 40, 148), None]  # beside the box; and nothing is left
    strip = [[0, 0, 9, 12], [60, 0, 69, 12], [100, 0, 109, 12]]  # at the bottom of an image of 110 x 12 pixels
    texts = [label and label[0] for label in arrange(LabelLayout(110, 12), strip)]
    assert texts == ["full", "class", "id"]


def test_a_label_stays_where_it_was():
    layout = LabelLayout(320, 240)
    boxes = [[100, 100, 130, 160], [104, 100, 134, 160]]
    first = arrange(layout, boxes, [1, 2])
    assert (first[0][1].top, first[1][1].top) == (88, 160)
    alone = arrange(layout, boxes[1:], [2])  # the place above is free now
    assert alone[0][1].top == 160
    assert arrange(layout, boxes, [2, 1])[0][1].top == 160


def test_what_labels_say():
    tracks, texts = make_tracks([12], [[100, 100, 150, 200]]), {}
    for labels in ("none", "id", "class", "full"):
        annotator = Annotator(["person"], 320, 240, ResultConfig(trail=0, labels=labels))
        texts[labels] = drawn_pixels(annotator.annotate(make_frame(0, 320, 240), tracks))[70:99].sum()
    assert 0 == texts["none"] < texts["id"] < texts["class"] < texts["full"]


def test_the_width_of_lines():
    for width in (1, 6):
        config = ResultConfig(trail=0, labels="none", line_width=width)
        drawn = drawn_pixels(
            Annotator(["person"], 320, 240, config).annotate(
                make_frame(0, 320, 240), make_tracks([1], [[100, 100, 200, 200]])
            )
        )
        assert drawn[150, 90:120].sum() in (width, width + 1)


def test_boxes_far_outside_and_huge_boxes():
    annotator = Annotator(["person"], 64, 48, ResultConfig(trail=2))
    assert not drawn_pixels(annotator.annotate(make_frame(0), make_tracks([1], [[500, 500, 600, 600]]))).any()
    huge = make_tracks([1], [[-1e9, -1e9, 1e9, 1e9]], observed=[False])
    assert annotator.annotate(make_frame(1), huge).shape == (48, 64, 3)


@pytest.mark.smoke
def test_trail_follows_the_bottom_center_and_expires():
    annotator = Annotator(["person"], 320, 240, ResultConfig(trail=1.0))
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
    annotator = Annotator(["person"], 64, 48, ResultConfig(trail=1.0))
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
    annotated = Annotator(["person"], width, height, ResultConfig(trail=2)).annotate(Frame(0, 0.0, 0, image), tracks)
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
