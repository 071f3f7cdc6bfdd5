"""Training an embedder: that it learns, repeats itself, resumes, and says what is wrong with its input."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tracker.appearance import load_embedder
from tracker.config import EmbedderTraining
from tracker.data import read_crops
from tracker.errors import InputError
from tracker.training.crops import IndividualBatches, augment, load_images
from tracker.training.embedder import batch_hard_triplet, train_embedder
from tracker.weights import load_model

# Lightning speaks of loggers, workers and cores; none of that is about this code.
pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SIZE = (64, 32)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Four individuals, told apart by their dress's pattern, whose colours change from picture to picture."""
    folder = tmp_path / "people"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for person in range(4):
        y, x = np.mgrid[:40, :20]
        pattern = (y < 0, y < 20, y % 20 < 10, (x - 10) ** 2 < 16)[person]  # plain, halves, rings, a stripe
        for camera in (1, 2):
            for number in range(3):
                pixels = np.where(pattern[..., None], rng.uniform(0, 90, 3), rng.uniform(140, 255, 3))
                file = folder / f"{person:04d}_c{camera}s1_{number:06d}_00.png"
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
    return folder


def config_for(people: Path, folder: Path, **changes: object) -> EmbedderTraining:
    values = {
        "train": str(people), "folder": str(folder), "size": SIZE, "individuals": 4, "crops": 3, "steps": 6,
        "warmup_steps": 2, "validate_every": 3, "ema": 0.5,
    }  # fmt: skip
    return EmbedderTraining.model_validate({**values, **changes})


def test_training_gives_a_model_that_loads_and_repeats_itself(people: Path, tmp_path: Path) -> None:
    first = train_embedder(config_for(people, tmp_path / "a", val=(str(people),), provenance="made up"))
    again = train_embedder(config_for(people, tmp_path / "b", val=(str(people),), provenance="made up"))
    assert first.read_bytes() == again.read_bytes()
    with load_embedder(str(first), torch.device("cpu"), threads=1) as embedder:
        assert embedder.info.size == SIZE
        assert embedder.info.provenance == "made up"
        images = load_images(read_crops([people]), SIZE)
        box = np.array([[0, 0, SIZE[1], SIZE[0]]], np.float32)
        assert embedder.embed([images[0]], [box])[0].shape == (1, embedder.dimension)
    log = (tmp_path / "a" / "log").rglob("metrics.csv")
    assert "rank-1" in next(log).read_text()


def test_a_resumed_training_ends_like_an_uninterrupted_one(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.training.embedder.CHECKPOINT_EVERY", 3)
    whole = train_embedder(config_for(people, tmp_path / "whole"))

    class Killed(Exception):
        pass

    from tracker.training.embedder import EmbedderModule

    step = EmbedderModule.training_step

    def dies(self: EmbedderModule, batch: object, index: int) -> torch.Tensor:
        if self.global_step == 4:
            raise Killed
        return step(self, batch, index)  # type: ignore[arg-type]

    config = config_for(people, tmp_path / "cut")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EmbedderModule, "training_step", dies)
        train_embedder(config)
    resumed = train_embedder(config, resume=True)
    expected, found = load_model(whole)[0], load_model(resumed)[0]
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_it_learns_to_tell_individuals_apart(people: Path, tmp_path: Path) -> None:
    untrained = train_embedder(config_for(people, tmp_path / "untrained", steps=1))
    trained = train_embedder(config_for(people, tmp_path / "trained", steps=40, warmup_steps=5, validate_every=40))
    crops = read_crops([people])
    images = list(load_images(crops, SIZE))
    box = [np.array([[0, 0, SIZE[1], SIZE[0]]], np.float32)] * len(images)
    same = crops.ids[:, None] == crops.ids[None]
    gaps = []
    for path in (untrained, trained):
        with load_embedder(str(path), torch.device("cpu"), threads=1) as embedder:
            rows = np.concatenate(embedder.embed(images, box))
        likeness = rows @ rows.T
        gaps.append(likeness[same].mean() - likeness[~same].mean())
    assert gaps[1] > 4 * gaps[0]


def test_batches_hold_the_same_crops_whoever_makes_them(people: Path, tmp_path: Path) -> None:
    config = config_for(people, tmp_path)
    crops = read_crops([people])
    one, other = (IndividualBatches(crops, load_images(crops, SIZE), config) for _ in range(2))
    other[3]
    images, ids = one[2]
    again, same_ids = other[2]
    assert torch.equal(images, again)
    assert torch.equal(ids, same_ids)
    assert ids.bincount().tolist() == [3, 3, 3, 3]
    assert images.shape == (12, 3, *SIZE)
    assert not torch.equal(images, one[1][0])


def test_augmented_crops_stay_pictures() -> None:
    images = torch.randint(0, 256, (8, 3, *SIZE), dtype=torch.uint8)
    before = images.clone()
    changed = augment(images, torch.Generator().manual_seed(0), apart=2)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 255
    assert torch.equal(images, before)


def test_the_triplet_loss_worked_by_hand() -> None:
    """Cosine distances: rows 0 and 1 (same) 0.2, 0 and 2 1.0, 1 and 2 0.4; row 2's farthest same is itself."""
    rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    loss = batch_hard_triplet(rows, torch.tensor([0, 0, 1]), margin=0.3)
    assert float(loss) == pytest.approx((0 + (0.3 + 0.2 - 0.4) + 0) / 3, abs=1e-6)


def test_crops_are_read_once_and_junk_is_left_out(people: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    known = sorted(people.iterdir())[0]
    (more / known.name).write_bytes(known.read_bytes())
    (more / "-1_c3s1_000000_00.png").write_bytes(known.read_bytes())
    (more / "0009_c3s1_000000_00.png").write_bytes(known.read_bytes())
    (more / "Thumbs.db").write_bytes(b"")
    crops = read_crops([people, more])
    assert len(crops) == 25
    assert sorted(set(crops.ids.tolist())) == [0, 1, 2, 3, 4]
    assert crops.individuals[4] == "000009"
    assert set(crops.cameras.tolist()) == {1, 2, 3}


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the crops"):
        train_embedder(config_for(tmp_path / "none", tmp_path / "run"))


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there are no crops"):
        train_embedder(config_for(tmp_path / "empty", tmp_path / "run"))


def test_one_individual(people: Path, tmp_path: Path) -> None:
    for file in people.iterdir():
        if not file.name.startswith("0000"):
            file.unlink()
    with pytest.raises(InputError, match="one individual only"):
        train_embedder(config_for(people, tmp_path / "run"))


def test_a_name_that_tells_no_camera(people: Path, tmp_path: Path) -> None:
    sorted(people.iterdir())[0].rename(people / "holiday.png")
    with pytest.raises(InputError, match=r"holiday\.png"):
        train_embedder(config_for(people, tmp_path / "run"))


def test_a_damaged_picture(people: Path, tmp_path: Path) -> None:
    sorted(people.iterdir())[3].write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot read the picture"):
        train_embedder(config_for(people, tmp_path / "run"))


def test_nothing_to_resume(people: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        train_embedder(config_for(people, tmp_path / "run"), resume=True)


def test_starting_weights_that_are_none(people: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "trunk.pth"
    torch.save({"weight": torch.zeros(3)}, wrong)
    with pytest.raises(InputError, match=r"trunk\.pth"):
        train_embedder(config_for(people, tmp_path / "run", start_from=str(wrong)))
    wrong.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"trunk\.pth"):
        train_embedder(config_for(people, tmp_path / "run", start_from=str(wrong)))
