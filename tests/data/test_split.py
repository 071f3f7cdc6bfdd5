"""A part of one set is held out for validation: whole scenes, always the same, with every class left in training."""

from pathlib import Path

import numpy as np
import pytest

from tracker.data import AnnotatedImage, ImageSet, split_image_set
from tracker.errors import InputError


def image_set(labels: dict[str, tuple[int, ...]], classes: int = 2) -> ImageSet:
    images = tuple(
        AnnotatedImage(
            Path(name).name, Path("set", name), np.zeros((len(of), 4), np.float32), np.array(of, np.int64),
            ((),) * len(of), np.zeros((0, 4), np.float32), (),
        )
        for name, of in labels.items()
    )  # fmt: skip
    return ImageSet(tuple(f"class {n}" for n in range(classes)), images)


def split_names(labels: dict[str, tuple[int, ...]], fraction: float = 0.2) -> tuple[list[str], list[str], str]:
    train, val, told = split_image_set(image_set(labels), fraction)
    return *([str(image.path.relative_to("set")) for image in part.images] for part in (train, val)), told  # type: ignore[return-value]


@pytest.mark.parametrize(
    "name",
    [
        "clip{scene}_{frame:05}.jpg",
        "clip{scene}-{frame}.png",
        "clip{scene}/{frame:06}.jpg",
        "clip{scene}_mp4-{frame}_jpg.rf.a9f3e{frame}.jpg",
        "1a2b3c4d-clip{scene}_frame_{frame}.jpg",
    ],
)
def test_frames_of_a_clip_never_lie_in_both_parts(name: str) -> None:
    labels = {name.format(scene=chr(65 + scene), frame=n): (0, 1) for n in range(20) for scene in range(10)}
    train, val, told = split_names(labels)
    assert len(train) + len(val) == 200 and 20 <= len(val) <= 60
    key = name.index("{scene}")
    assert not {one[key] for one in train} & {one[key] for one in val}
    assert "scenes, by their names" in told and told.startswith(f"{len(val)} of 200 images are held out")


def test_copies_of_one_picture_stay_together() -> None:
    labels = {f"IMG_{n:04}_JPG.rf.{copy}{n}.jpg": (0,) for n in range(30) for copy in "abc"}
    train, val, _ = split_names(labels)
    assert not {one[:8] for one in train} & {one[:8] for one in val}


def test_the_order_of_the_images_does_not_matter() -> None:
    labels = {f"clip{scene}_{n}.jpg": (0, 1) for n in range(5) for scene in "abcdefgh"}
    assert sorted(split_names(labels)[1]) == sorted(split_names(dict(reversed(labels.items())))[1])


def test_names_that_tell_classes_do_not_take_a_class_out_of_the_training() -> None:
    labels = {f"{name}_{n}.jpg": (label,) for label, name in enumerate(("cat", "dog")) for n in range(20)}
    train, val, told = split_names(labels)
    assert len(val) == 8 and {one[:3] for one in val} == {one[:3] for one in train} == {"cat", "dog"}
    assert "of each class" in told


def test_without_scenes_the_last_images_are_held_out() -> None:
    train, val, told = split_names({f"{n}.jpg": (0, 1) for n in range(1, 21)})
    assert val == ["17.jpg", "18.jpg", "19.jpg", "20.jpg"] and len(train) == 16
    assert "the names tell no scenes" in told


def test_both_parts_have_an_image() -> None:
    assert [len(part) for part in split_names({"a.jpg": (0,), "b.jpg": (0,)}, 0.01)[:2]] == [1, 1]
    with pytest.raises(InputError, match="a single image cannot be split"):
        split_names({"a.jpg": (0,)})
