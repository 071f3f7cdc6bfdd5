"""Training an embedder: that it learns, repeats itself, resumes, and says what is wrong with its input."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from drawn_people import draw_people, write_sequence
from small_trainings import SMALL_TRAINING
from tracker.config import EmbedderTrainingConfig, read_yaml, validated
from tracker.data import read_crop, read_crops
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops, measured
from tracker.models.model_file import load_model
from tracker.models.reid import BUILTIN, load_embedder
from tracker.training.curves import read_metrics_log
from tracker.training.reid.augment import augment, canvas
from tracker.training.reid.data import IndividualBatches
from tracker.training.reid.embedder import EmbedderModule, train_embedder
from tracker.training.reid.losses import BatchHardTriplet, IndividualLosses, compute_losses

pytestmark = SMALL_TRAINING
SIZE = (32, 32)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Four individuals, three times each before two cameras."""
    return draw_people(tmp_path / "people", 4)


def config_for(people: Path, folder: Path, **changes: object) -> EmbedderTrainingConfig:
    values = {
        "train": str(people), "folder": str(folder), "size": SIZE, "individuals": 4, "crops": 3, "steps": 6,
        "warmup_steps": 2, "validate_every": 3, "ema": 0.5, "workers": 0,
        "network": {"architecture": "lenet"},
    }  # fmt: skip
    return EmbedderTrainingConfig.model_validate({**values, **changes})


def test_training_gives_a_model_that_loads_and_repeats_itself(people: Path, tmp_path: Path) -> None:
    first = train_embedder(config_for(people, tmp_path / "a", val=(str(people),), provenance="made up"))
    again = train_embedder(config_for(people, tmp_path / "b", val=(str(people),), provenance="made up"))
    assert first.read_bytes() == again.read_bytes()
    for path in (first, tmp_path / "a" / "best.ckpt", tmp_path / "a" / "last.ckpt"):
        with load_embedder(str(path), torch.device("cpu"), threads=1) as embedder:
            assert embedder.info.size == SIZE
            assert embedder.info.provenance == "made up"
            assert embedder.info.max_distance > 0
            assert embed_crops(embedder, read_crops([people])).shape == (24, 128)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        *("best.ckpt", "last.ckpt", "model.safetensors", "card.md", "config.yaml", "curves.png"),
        *("log", "tensorboard", "report"),
    }
    course = read_metrics_log(tmp_path / "a", {"embedder": 6})
    assert set(course["mAP"]) == {3, 6}
    assert {"loss", "loss_triplet", "loss_cosine_softmax", "nearest_is_same"} <= course.keys()
    assert "24 crops of 4 individuals" in (tmp_path / "a" / "card.md").read_text()
    assert validated(EmbedderTrainingConfig, read_yaml(tmp_path / "a" / "config.yaml"), "") == config_for(
        people, tmp_path / "a", val=(str(people),), provenance="made up"
    )


def test_a_resumed_training_ends_like_an_uninterrupted_one(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, whose random numbers have to be the same, and two batches in a step."""
    changes = {"network": {"architecture": "mobilenet_v3_small"}, "checkpoint_every": 2, "steps": 4, "accumulate": 2}
    whole = train_embedder(config_for(people, tmp_path / "whole", **changes))

    class Killed(Exception):
        pass

    step = EmbedderModule.training_step

    def dies(self: EmbedderModule, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 3:
            raise Killed
        return step(self, batch, index)

    config = config_for(people, tmp_path / "cut", **changes)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EmbedderModule, "training_step", dies)
        train_embedder(config)
    resumed = train_embedder(config, resume=True)
    expected, found = load_model(whole)[0], load_model(resumed)[0]
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    with pytest.raises(InputError, match="another network, other losses or other individuals"):
        train_embedder(config.model_copy(update={"losses": {"softmax": 1.0}}), resume=True)


def test_a_resumed_training_knows_what_was_best(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint to resume from and a scoring fall on the third step of six; that scoring is the best."""
    monkeypatch.setattr(EmbedderModule, "score", lambda self, _: dict.fromkeys(self.SCORES, 1 / self.global_step))
    config = config_for(people, tmp_path / "run", val=(str(people),), checkpoint_every=3)

    class Killed(Exception):
        pass

    step = EmbedderModule.training_step

    def dies(self: EmbedderModule, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 4:
            raise Killed
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EmbedderModule, "training_step", dies)
        train_embedder(config)
    best = (tmp_path / "run" / "best.ckpt").read_bytes()
    train_embedder(config, resume=True)
    assert (tmp_path / "run" / "best.ckpt").read_bytes() == best
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("losses", [{}, {"softmax": 1, "triplet": 1}], ids=str)
def test_it_learns_to_tell_individuals_apart(losses: dict[str, float], people: Path, tmp_path: Path) -> None:
    changes = {"losses": losses, "before_neck": "softmax" in losses, "steps": 60, "warmup_steps": 5, "ema": 0.9}
    trained = train_embedder(config_for(people, tmp_path / "run", validate_every=60, **changes))
    with load_embedder(str(trained), torch.device("cpu"), threads=1) as embedder:
        crops = read_crops([draw_people(tmp_path / "again", 4, seed=1)])  # in other colours
        assert measured(embed_crops(embedder, crops), crops).figures["AUC"] > 0.9


@torch.no_grad()
def test_the_losses_are_the_published_ones() -> None:
    """Against formulas written out."""
    torch.manual_seed(0)
    features, projected = torch.randn(8, 6), torch.randn(8, 6)
    ids = torch.arange(4).repeat_interleave(2)
    weights = {"softmax": 0.5, "cosine_softmax": 2.0, "arcface": 1.0, "triplet": 1.0, "supcon": 1.0}
    config = EmbedderTrainingConfig.model_validate({"losses": weights, "before_neck": True, "label_smoothing": 0.2})
    losses = IndividualLosses(config, 6, 5)
    found = {name: value.item() for name, value in losses(projected, features, ids).items()}
    parts, smooth = dict(losses.parts.named_children()), {"label_smoothing": 0.2}
    unit, same = F.normalize(features), ids[:, None] == ids

    def cosines(part: nn.Module) -> torch.Tensor:
        return unit @ F.normalize(part.W, dim=0)  # type: ignore[arg-type]

    softmax = F.cross_entropy(features @ parts["softmax"].judge.weight.T, ids, **smooth)  # type: ignore[union-attr]
    assert found["softmax"] == pytest.approx(0.5 * softmax.item(), rel=1e-5)
    assert found["cosine_softmax"] == pytest.approx(
        2 * F.cross_entropy(16 * cosines(parts["cosine_softmax"]), ids, **smooth).item(), rel=1e-5
    )
    angles = cosines(parts["arcface"]).acos()
    margin = math.radians(28.6) * F.one_hot(ids, 5)
    assert float((angles + margin).max()) < math.pi  # else the formula has another branch
    assert found["arcface"] == pytest.approx(
        F.cross_entropy(16 * (angles + margin).cos(), ids, **smooth).item(), rel=1e-4
    )
    distances = torch.cdist(projected, projected)
    farthest, nearest = (distances * same).max(1).values, distances.masked_fill(same, torch.inf).min(1).values
    assert found["triplet"] == pytest.approx(float((0.3 + farthest - nearest).clamp(0).mean()), rel=1e-5)
    other = ~torch.eye(8, dtype=torch.bool)
    likely = (unit @ unit.T / 0.1).masked_fill(~other, -torch.inf).log_softmax(1)
    assert found["supcon"] == pytest.approx(-float(likely[same & other].mean()), rel=1e-4)


def test_the_triplet_loss_worked_by_hand() -> None:
    """Cosine distances: rows 0 and 1, and 2 and 3, 0.2; 0 and 2 1.0, 0 and 3 1.6, 1 and 2 0.4, 1 and 3 1.0."""
    rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
    loss = BatchHardTriplet(margin=0.3, euclidean=False)(rows, torch.tensor([0, 0, 1, 1]))
    assert float(loss) == pytest.approx((0 + (0.3 + 0.2 - 0.4) + (0.3 + 0.2 - 0.4) + 0) / 4, abs=1e-6)


def test_sharpness_is_learnt_where_that_is_asked_for() -> None:
    for learn in (False, True):
        config = EmbedderTrainingConfig(losses={"cosine_softmax": 1.0}, learn_sharpness=learn)
        losses = IndividualLosses(config, 4, 3)
        sum(losses(*[torch.randn(6, 4)] * 2, torch.tensor([0, 0, 1, 1, 2, 2])).values()).backward()
        assert (losses.parts["cosine_softmax"].log_factor.grad is not None) is learn


def test_tracklets_are_compared_only_within_a_batch() -> None:
    assert compute_losses(EmbedderTrainingConfig(tracklets=True)) == {"triplet": 1.0, "supcon": 1.0}
    assert compute_losses(EmbedderTrainingConfig()) == {"triplet": 1.0, "cosine_softmax": 1.0}
    with pytest.raises(InputError, match="softmax needs classes, but two tracklets may be one individual"):
        compute_losses(EmbedderTrainingConfig(tracklets=True, losses={"triplet": 1.0, "softmax": 1.0}))


def test_batches_hold_the_same_crops_whoever_makes_them(people: Path, tmp_path: Path) -> None:
    config = config_for(people, tmp_path)
    one, other = (IndividualBatches(read_crops([people]), config) for _ in range(2))
    other[3]
    images, ids = one[2]
    again, same_ids = other[2]
    assert torch.equal(images, again)
    assert torch.equal(ids, same_ids)
    assert ids.bincount().tolist() == [3, 3, 3, 3]
    assert images.shape == (12, 3, *SIZE)
    assert not torch.equal(images, one[1][0])


def test_augmented_crops_stay_pictures() -> None:
    images = torch.randint(0, 256, (8, 3, *canvas(SIZE)), dtype=torch.uint8)
    before = images.clone()
    changed = augment(images, EmbedderTrainingConfig(size=SIZE), torch.Generator().manual_seed(0), apart=2)
    assert changed.shape == (8, 3, *SIZE)
    assert changed.dtype == torch.float32
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 255
    assert torch.equal(images, before)


def test_without_changes_crops_stay_as_they_are(people: Path, tmp_path: Path) -> None:
    still = {"flip": 0, "box_jitter": 0, "low_resolution": 0, "colour_jitter": 0, "erasing": 0}
    crops = read_crops([people])
    batches = IndividualBatches(crops, config_for(people, tmp_path, size=(40, 20), **still))
    images, _ = batches[0]
    expected = [torch.tensor(read_crop(crops, row)).permute(2, 0, 1) for row in batches.drawn(0)]
    torch.testing.assert_close(images, torch.stack(expected).float(), atol=0.01, rtol=0)


def test_a_jittered_box_sees_what_is_beside_it_in_the_picture(tmp_path: Path) -> None:
    """A red box on green ground: the green comes in where the box is moved off."""
    folder = tmp_path / "SEQ"
    pixels = np.zeros((80, 60, 3), np.uint8)
    pixels[:, :, 1] = 200
    pixels[20:60, 20:40] = (200, 0, 0)
    write_sequence(folder, [pixels], [(1, 1, 20, 20, 20, 40)])
    changes = {"flip": 0, "low_resolution": 0, "colour_jitter": 0, "erasing": 0, "size": (40, 20), "crops": 8}
    batches = IndividualBatches(read_crops([folder]), EmbedderTrainingConfig.model_validate(changes))
    images, _ = batches[0]
    ground = (images[:, 1] > images[:, 0]).float().mean((1, 2))
    assert float(images[:, 0, 20, 10].min()) > 150
    assert 0 < float(ground.max()) < 0.5
    assert float(images[:, 2].max()) < 5


def test_individuals_are_held_out_by_identity_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    people = draw_people(tmp_path / "people", 10, pictures=1)
    train_embedder(config_for(people, tmp_path / "run", steps=1, val_share=0.3))
    assert "3 of 10 individuals" in caplog.text
    card = (tmp_path / "run" / "card.md").read_text()
    assert "14 crops of 7 individuals" in card
    assert "6 crops of 3 individuals" in card
    caplog.clear()
    few = draw_people(tmp_path / "few", 4, pictures=1)
    train_embedder(config_for(few, tmp_path / "other", steps=1))
    assert "nothing is scored: 4 individuals" in caplog.text
    assert not (tmp_path / "other" / "best.ckpt").exists()


def test_a_loss_that_is_not_finite_stops_with_the_files(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: IndividualLosses, projected: torch.Tensor, *more: object) -> dict[str, torch.Tensor]:
        return {"triplet": projected.sum() * torch.nan}

    monkeypatch.setattr(IndividualLosses, "forward", fails)
    with pytest.raises(InputError, match=r"loss of step 0 is not finite \(triplet nan\) on .*0003_c\ds1_.*\.png"):
        train_embedder(config_for(people, tmp_path / "run"))


def test_frozen_stages_keep_their_weights_and_statistics(people: Path, tmp_path: Path) -> None:
    config = config_for(people, tmp_path / "run", steps=2, freeze=2, start_from="builtin", ema=0, network={})
    before, after = load_model(BUILTIN)[0], load_model(train_embedder(config))[0]
    still = {key for key, value in before.items() if np.array_equal(after[key], value)}
    trunk = {key for key in before if key.startswith(("body.trunk.first_conv", "body.trunk.stage2"))}
    trunk = {key for key in trunk if not key.endswith("num_batches_tracked")}
    assert trunk <= still
    assert not any(key.endswith("weight") for key in still - trunk)


def test_early_stopping(people: Path, tmp_path: Path) -> None:
    config = config_for(people, tmp_path / "run", val=(str(people),), steps=8, validate_every=1, patience=1)
    train_embedder(config.model_copy(update={"learning_rate": 1e-12, "ema": 0.0}))
    assert max(read_metrics_log(tmp_path / "run", {"embedder": 8})["mAP"]) < 8


def test_bfloat16(people: Path, tmp_path: Path) -> None:
    config = config_for(people, tmp_path / "run", val=(str(people),), steps=1, precision="bf16-mixed")
    assert load_model(train_embedder(config))[1].max_distance > 0


def test_individuals_with_one_picture_are_learned(tmp_path: Path) -> None:
    people = draw_people(tmp_path / "people", 4, pictures=1, cameras=1)
    assert train_embedder(config_for(people, tmp_path / "run", steps=1)).is_file()


def test_a_folder_for_each_individual(tmp_path: Path) -> None:
    people = draw_people(tmp_path / "people", 4)
    for file in sorted(people.iterdir()):
        (people / file.name[:4]).mkdir(exist_ok=True)
        file.rename(people / file.name[:4] / file.name[5:])
    (people / "0002" / "upside.PNG").write_bytes((people / "0002" / "c1s1_000000_00.png").read_bytes())
    config = config_for(people, tmp_path / "run", val=(str(people),), steps=1)
    assert train_embedder(config).is_file()
    assert "25 crops of 4 individuals" in (tmp_path / "run" / "card.md").read_text()


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
    assert crops.identities[4] == "000009"
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


@pytest.mark.parametrize("source", ["imagenet", "other.safetensors"])
def test_starting_weights_that_cannot_be(source: str, people: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=source):
        train_embedder(config_for(people, tmp_path / "run", start_from=source))


def test_starting_weights_of_another_network(people: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing of builtin fits resnet18"):
        train_embedder(
            config_for(
                people,
                tmp_path / "run",
                start_from="builtin",
                network={"architecture": "resnet18", "neck": False, "dimension": 7},
            )
        )


def test_weights_of_torchvisions_network(people: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    given = torchvision.models.resnet18().state_dict()
    torch.save(given, tmp_path / "resnet18.pth")
    changes = {"start_from": str(tmp_path / "resnet18.pth"), "network": {"architecture": "resnet18"}}
    config = config_for(people, tmp_path / "run", steps=1, ema=0, freeze=5, **changes)
    found = load_model(train_embedder(config))[0]
    for key, value in given.items():
        if not key.startswith("fc"):
            np.testing.assert_array_equal(found[f"body.{key}"], value.numpy(), err_msg=key)


def test_nobody_who_can_be_looked_for(people: Path, tmp_path: Path) -> None:
    strangers = draw_people(tmp_path / "strangers", 3, cameras=1)  # all before one camera
    with pytest.raises(InputError, match=r"nobody in .*strangers can be looked for"):
        train_embedder(config_for(people, tmp_path / "run", val=(str(strangers),)))


def test_a_folder_that_holds_a_training(people: Path, tmp_path: Path) -> None:
    train_embedder(config_for(people, tmp_path / "run", steps=1))
    with pytest.raises(InputError, match="there is a training in"):
        train_embedder(config_for(people, tmp_path / "run"))


def test_an_unknown_loss() -> None:
    with pytest.raises(InputError, match=r"unknown loss 'tripplet'.*'triplet'"):
        compute_losses(validated(EmbedderTrainingConfig, {"losses": {"tripplet": 1}}, "my.yaml"))
