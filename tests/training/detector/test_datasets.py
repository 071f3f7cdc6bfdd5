"""The images of a detector's training: held out for validation, found in another folder, and broken."""

import logging
from pathlib import Path

import pytest

from small_trainings import SMALL_TRAINING, small_training
from tracker.errors import InputError
from tracker.training.detector.train import _read_datasets, train_detector

pytestmark = SMALL_TRAINING


def test_a_fraction_of_the_images_is_held_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = small_training(tmp_path, 10, val="", split=0.2)
    with caplog.at_level(logging.WARNING):
        train_set, val_set = _read_datasets(config)
    assert (len(train_set.images), len(val_set.images)) == (8, 2)
    assert not {image.path for image in train_set.images} & {image.path for image in val_set.images}
    assert train_set.categories == val_set.categories
    assert "2 of 10 images are held out for validation" in caplog.text
    again = _read_datasets(config)[1]
    assert [image.path for image in again.images] == [image.path for image in val_set.images]


def test_validation_images_or_a_split_of_the_training_images(tmp_path: Path) -> None:
    config = small_training(tmp_path)
    with pytest.raises(InputError, match=r"val gives images for validation, and split .*: give one of them"):
        _read_datasets(config.model_copy(update={"split": 0.2}))
    with pytest.raises(InputError, match="no images for validation: give val, or split"):
        _read_datasets(config.model_copy(update={"val": ""}))


def test_images_in_another_folder(tmp_path: Path) -> None:
    config = small_training(tmp_path)
    (tmp_path / "train").rename(tmp_path / "pictures")
    train_set, _ = _read_datasets(config.model_copy(update={"images": str(tmp_path / "pictures")}))
    assert {image.path.parent for image in train_set.images} == {tmp_path / "pictures"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_during_a_training_is_told_in_one_sentence(tmp_path: Path, workers: int) -> None:
    config = small_training(tmp_path, workers=workers)
    train_set, _ = _read_datasets(config)
    paths = [image.path for image in train_set.images]

    def break_images(*_: object) -> None:
        for path in paths:
            path.write_bytes(path.read_bytes()[:-500])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.training.detector.train.check_images", break_images)
        with pytest.raises(InputError, match=r"^cannot read the image [^\n]*\.png: [^\n]*$"):
            train_detector(config)
