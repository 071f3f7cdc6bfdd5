"""Training an embedder: its accuracy, determinism, resuming, losses, augmentation and error messages."""

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
from tracker.config import EmbedderTrainingConfig, read_yaml, validate_section
from tracker.data import read_crop, read_reid_dataset
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops, evaluate_embeddings
from tracker.models.model_file import load_model
from tracker.models.reid import BUILTIN, load_embedder
from tracker.training.curves import read_metrics_log
from tracker.training.reid.augment import augment, context_size
from tracker.training.reid.data import IdentityBatchDataset
from tracker.training.reid.embedder import EmbedderModule, train_embedder
from tracker.training.reid.losses import BatchHardTripletLoss, EmbedderLosses, loss_weights

pytestmark = [*SMALL_TRAINING, pytest.mark.slow]
SIZE = (32, 32)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Draws four identities, with three images by each of two cameras."""
    return draw_people(tmp_path / "people", 4)


def settings_for(people: Path, folder: Path, **changes: object) -> EmbedderTrainingConfig:
    values = {
        "train": str(people), "folder": str(folder), "size": SIZE, "identities_per_batch": 4,
        "crops_per_identity": 3, "steps": 6,
        "warmup_steps": 2, "validate_every": 3, "ema_decay": 0.5, "workers": 0,
        "network": {"architecture": "lenet"},
    }  # fmt: skip
    return EmbedderTrainingConfig.model_validate({**values, **changes})


def test_training_is_deterministic_and_writes_all_files(people: Path, tmp_path: Path) -> None:
    first = train_embedder(settings_for(people, tmp_path / "a", val=(str(people),), provenance="drawn"))
    second = train_embedder(settings_for(people, tmp_path / "b", val=(str(people),), provenance="drawn"))
    assert first.read_bytes() == second.read_bytes()
    for path in (first, tmp_path / "a" / "best.ckpt", tmp_path / "a" / "last.ckpt"):
        with load_embedder(str(path), torch.device("cpu"), threads=1) as embedder:
            assert embedder.info.size == SIZE
            assert embedder.info.provenance == "drawn"
            assert embedder.info.max_distance > 0
            assert embed_crops(embedder, read_reid_dataset([people])).shape == (24, 128)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        *("best.ckpt", "last.ckpt", "model.safetensors", "card.md", "config.yaml", "curves.png"),
        *("log", "tensorboard", "report"),
    }
    metrics = read_metrics_log(tmp_path / "a", {"embedder": 6})
    assert set(metrics["mAP"]) == {3, 6}
    assert {"loss", "loss_triplet", "loss_cosine_softmax", "batch_rank1"} <= metrics.keys()
    assert "24 crops of 4 identities" in (tmp_path / "a" / "card.md").read_text()
    assert validate_section(EmbedderTrainingConfig, read_yaml(tmp_path / "a" / "config.yaml"), "") == settings_for(
        people, tmp_path / "a", val=(str(people),), provenance="drawn"
    )


def test_a_resumed_training_gives_the_same_model(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network has dropout, whose random numbers have to be the same, and a step has two dataset."""
    changes = {"network": {"architecture": "mobilenet_v3_small"}, "checkpoint_every": 2, "steps": 4}
    changes |= {"accumulate_grad_batches": 2}
    uninterrupted = train_embedder(settings_for(people, tmp_path / "uninterrupted", **changes))

    class Killed(Exception):
        pass

    training_step = EmbedderModule.training_step

    def interrupt(self: EmbedderModule, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 3:
            raise Killed
        return training_step(self, batch, index)

    config = settings_for(people, tmp_path / "resumed", **changes)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EmbedderModule, "training_step", interrupt)
        train_embedder(config)
    expected, resumed = load_model(uninterrupted)[0], load_model(train_embedder(config, resume=True))[0]
    for key, value in expected.items():
        np.testing.assert_array_equal(resumed[key], value, err_msg=key)
    with pytest.raises(InputError, match="another network, other losses or other identities"):
        train_embedder(config.model_copy(update={"losses": {"softmax": 1.0}}), resume=True)


def test_a_resumed_training_keeps_the_best_checkpoint(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint and a validation follow the third step of six; its metrics are the best."""
    monkeypatch.setattr(
        EmbedderModule, "compute_metrics", lambda self, _: dict.fromkeys(self.METRICS, 1 / self.global_step)
    )
    config = settings_for(people, tmp_path / "run", val=(str(people),), checkpoint_every=3)

    class Killed(Exception):
        pass

    training_step = EmbedderModule.training_step

    def interrupt(self: EmbedderModule, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 4:
            raise Killed
        return training_step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EmbedderModule, "training_step", interrupt)
        train_embedder(config)
    best = (tmp_path / "run" / "best.ckpt").read_bytes()
    train_embedder(config, resume=True)
    assert (tmp_path / "run" / "best.ckpt").read_bytes() == best
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("losses", [{}, {"softmax": 1, "triplet": 1}], ids=str)
def test_it_learns_to_distinguish_identities(losses: dict[str, float], people: Path, tmp_path: Path) -> None:
    changes = {"losses": losses, "triplet_before_neck": "softmax" in losses, "steps": 60}
    changes |= {"warmup_steps": 5, "ema_decay": 0.9}
    trained = train_embedder(settings_for(people, tmp_path / "run", validate_every=60, **changes))
    with load_embedder(str(trained), torch.device("cpu"), threads=1) as embedder:
        crops = read_reid_dataset([draw_people(tmp_path / "test", 4, seed=1)])  # in other colors
        assert evaluate_embeddings(embed_crops(embedder, crops), crops).metrics["AUC"] > 0.9


@torch.no_grad()
def test_the_losses_are_the_published_ones() -> None:
    """Compares the losses with their formulas."""
    torch.manual_seed(0)
    features, before_neck = torch.randn(8, 6), torch.randn(8, 6)
    ids = torch.arange(4).repeat_interleave(2)
    weights = {"softmax": 0.5, "cosine_softmax": 2.0, "arcface": 1.0, "triplet": 1.0, "supcon": 1.0}
    changes = {"losses": weights, "triplet_before_neck": True, "label_smoothing": 0.2}
    config = EmbedderTrainingConfig.model_validate(changes)
    criterion = EmbedderLosses(config, 6, 5)
    losses = {name: value.item() for name, value in criterion(before_neck, features, ids).items()}
    modules, smoothing = dict(criterion.losses.named_children()), {"label_smoothing": 0.2}
    unit, same = F.normalize(features), ids[:, None] == ids

    def cosines(module: nn.Module) -> torch.Tensor:
        return unit @ F.normalize(module.W, dim=0)  # type: ignore[arg-type]

    logits = features @ modules["softmax"].classifier.weight.T  # type: ignore[union-attr]
    assert losses["softmax"] == pytest.approx(0.5 * F.cross_entropy(logits, ids, **smoothing).item(), rel=1e-5)
    assert losses["cosine_softmax"] == pytest.approx(
        2 * F.cross_entropy(16 * cosines(modules["cosine_softmax"]), ids, **smoothing).item(), rel=1e-5
    )
    angles = cosines(modules["arcface"]).acos()
    margin = math.radians(28.6) * F.one_hot(ids, 5)
    assert float((angles + margin).max()) < math.pi  # above, the formula has another branch
    assert losses["arcface"] == pytest.approx(
        F.cross_entropy(16 * (angles + margin).cos(), ids, **smoothing).item(), rel=1e-4
    )
    distances = torch.cdist(before_neck, before_neck)
    farthest, nearest = (distances * same).max(1).values, distances.masked_fill(same, torch.inf).min(1).values
    assert losses["triplet"] == pytest.approx(float((0.3 + farthest - nearest).clamp(0).mean()), rel=1e-5)
    other = ~torch.eye(8, dtype=torch.bool)
    log_probs = (unit @ unit.T / 0.1).masked_fill(~other, -torch.inf).log_softmax(1)
    assert losses["supcon"] == pytest.approx(-float(log_probs[same & other].mean()), rel=1e-4)


def test_the_triplet_loss_computed_by_hand() -> None:
    """The cosine distances are: rows 0 and 1, and 2 and 3, 0.2; 0 and 2 1.0, 0 and 3 1.6, 1 and 2 0.4, 1 and 3 1.0."""
    features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
    loss = BatchHardTripletLoss(margin=0.3, euclidean=False)(features, torch.tensor([0, 0, 1, 1]))
    assert float(loss) == pytest.approx((0 + (0.3 + 0.2 - 0.4) + (0.3 + 0.2 - 0.4) + 0) / 4, abs=1e-6)


def test_the_logit_scale_can_be_learned() -> None:
    for learn in (False, True):
        config = EmbedderTrainingConfig(losses={"cosine_softmax": 1.0}, learn_logit_scale=learn)
        criterion = EmbedderLosses(config, 4, 3)
        sum(criterion(*[torch.randn(6, 4)] * 2, torch.tensor([0, 0, 1, 1, 2, 2])).values()).backward()
        assert (criterion.losses["cosine_softmax"].log_factor.grad is not None) is learn


def test_tracklets_have_no_classification_losses() -> None:
    assert loss_weights(EmbedderTrainingConfig(tracklets=True)) == {"triplet": 1.0, "supcon": 1.0}
    assert loss_weights(EmbedderTrainingConfig()) == {"triplet": 1.0, "cosine_softmax": 1.0}
    with pytest.raises(InputError, match="softmax needs classes, but two tracklets may show one identity"):
        loss_weights(EmbedderTrainingConfig(tracklets=True, losses={"triplet": 1.0, "softmax": 1.0}))


def test_batches_are_the_same_in_any_process(people: Path, tmp_path: Path) -> None:
    config = settings_for(people, tmp_path)
    one, other = (IdentityBatchDataset(read_reid_dataset([people]), config) for _ in range(2))
    other[3]
    images, ids = one[2]
    other_images, other_ids = other[2]
    assert torch.equal(images, other_images)
    assert torch.equal(ids, other_ids)
    assert ids.bincount().tolist() == [3, 3, 3, 3]
    assert images.shape == (12, 3, *SIZE)
    assert not torch.equal(images, one[1][0])


def test_augmented_crops_have_the_value_range_of_images() -> None:
    images = torch.randint(0, 256, (8, 3, *context_size(SIZE)), dtype=torch.uint8)
    before = images.clone()
    augmented = augment(images, EmbedderTrainingConfig(size=SIZE), torch.Generator().manual_seed(0), identity_offset=2)
    assert augmented.shape == (8, 3, *SIZE)
    assert augmented.dtype == torch.float32
    assert float(augmented.min()) >= 0
    assert float(augmented.max()) <= 255
    assert torch.equal(images, before)


def test_augmentation_can_be_turned_off(people: Path, tmp_path: Path) -> None:
    none = {"hflip_prob": 0, "box_jitter": 0, "max_downscale_log2": 0, "color_jitter": 0, "random_erase_prob": 0}
    crops = read_reid_dataset([people])
    dataset = IdentityBatchDataset(crops, settings_for(people, tmp_path, size=(40, 20), **none))
    images, _ = dataset[0]
    expected = [torch.tensor(read_crop(crops, index)).permute(2, 0, 1) for index in dataset.sample_batch(0)]
    torch.testing.assert_close(images, torch.stack(expected).float(), atol=0.01, rtol=0)


def test_a_jittered_box_has_the_pixels_around_it_in_the_image(tmp_path: Path) -> None:
    """The object is red and its background is green."""
    folder = tmp_path / "SEQ"
    pixels = np.zeros((80, 60, 3), np.uint8)
    pixels[:, :, 1] = 200
    pixels[20:60, 20:40] = (200, 0, 0)
    write_sequence(folder, [pixels], [(1, 1, 20, 20, 20, 40)])
    changes = {"hflip_prob": 0, "max_downscale_log2": 0, "color_jitter": 0, "random_erase_prob": 0}
    changes |= {"size": (40, 20), "crops_per_identity": 8}
    dataset = IdentityBatchDataset(read_reid_dataset([folder]), EmbedderTrainingConfig.model_validate(changes))
    images, _ = dataset[0]
    background = (images[:, 1] > images[:, 0]).float().mean((1, 2))
    assert float(images[:, 0, 20, 10].min()) > 150
    assert 0 < float(background.max()) < 0.5
    assert float(images[:, 2].max()) < 5


def test_identities_are_held_out_for_validation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    people = draw_people(tmp_path / "people", 10, images=1)
    train_embedder(settings_for(people, tmp_path / "run", steps=1, val_fraction=0.3))
    assert "3 of 10 identities" in caplog.text
    card = (tmp_path / "run" / "card.md").read_text()
    assert "14 crops of 7 identities" in card
    assert "6 crops of 3 identities" in card
    caplog.clear()
    few = draw_people(tmp_path / "few", 4, images=1)
    train_embedder(settings_for(few, tmp_path / "other", steps=1))
    assert "no validation: 4 identities" in caplog.text
    assert not (tmp_path / "other" / "best.ckpt").exists()


def test_a_loss_that_is_not_finite_is_reported_with_the_files(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nan_loss(self: EmbedderLosses, before_neck: torch.Tensor, *others: object) -> dict[str, torch.Tensor]:
        return {"triplet": before_neck.sum() * torch.nan}

    monkeypatch.setattr(EmbedderLosses, "forward", nan_loss)
    with pytest.raises(InputError, match=r"loss of step 0 is not finite \(triplet nan\) on .*0003_c\ds1_.*\.png"):
        train_embedder(settings_for(people, tmp_path / "run"))


def test_frozen_stages_keep_their_weights_and_statistics(people: Path, tmp_path: Path) -> None:
    changes = {"steps": 2, "frozen_stages": 2, "pretrained": "builtin", "ema_decay": 0, "network": {}}
    config = settings_for(people, tmp_path / "run", **changes)
    before, after = load_model(BUILTIN)[0], load_model(train_embedder(config))[0]
    unchanged = {key for key, value in before.items() if np.array_equal(after[key], value)}
    frozen = {key for key in before if key.startswith(("body.trunk.first_conv", "body.trunk.stage2"))}
    frozen = {key for key in frozen if not key.endswith("num_batches_tracked")}
    assert frozen <= unchanged
    assert not any(key.endswith("weight") for key in unchanged - frozen)


def test_early_stopping(people: Path, tmp_path: Path) -> None:
    config = settings_for(people, tmp_path / "run", val=(str(people),), steps=8, validate_every=1, patience=1)
    train_embedder(config.model_copy(update={"learning_rate": 1e-12, "ema_decay": 0.0}))
    assert max(read_metrics_log(tmp_path / "run", {"embedder": 8})["mAP"]) < 8


def test_bfloat16(people: Path, tmp_path: Path) -> None:
    config = settings_for(people, tmp_path / "run", val=(str(people),), steps=1, precision="bf16-mixed")
    assert load_model(train_embedder(config))[1].max_distance > 0


def test_identities_with_one_image_are_accepted(tmp_path: Path) -> None:
    people = draw_people(tmp_path / "people", 4, images=1, cameras=1)
    assert train_embedder(settings_for(people, tmp_path / "run", steps=1)).is_file()


def test_a_folder_for_each_identity(tmp_path: Path) -> None:
    people = draw_people(tmp_path / "people", 4)
    for file in sorted(people.iterdir()):
        (people / file.name[:4]).mkdir(exist_ok=True)
        file.rename(people / file.name[:4] / file.name[5:])
    (people / "0002" / "upside.PNG").write_bytes((people / "0002" / "c1s1_000000_00.png").read_bytes())
    config = settings_for(people, tmp_path / "run", val=(str(people),), steps=1)
    assert train_embedder(config).is_file()
    assert "25 crops of 4 identities" in (tmp_path / "run" / "card.md").read_text()


def test_crops_are_read_once_and_junk_is_ignored(people: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    known = sorted(people.iterdir())[0]
    (more / known.name).write_bytes(known.read_bytes())
    (more / "-1_c3s1_000000_00.png").write_bytes(known.read_bytes())
    (more / "0009_c3s1_000000_00.png").write_bytes(known.read_bytes())
    (more / "Thumbs.db").write_bytes(b"")
    crops = read_reid_dataset([people, more])
    assert len(crops) == 25
    assert sorted(set(crops.ids.tolist())) == [0, 1, 2, 3, 4]
    assert crops.identities[4] == "000009"
    assert set(crops.cameras.tolist()) == {1, 2, 3}


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the crops"):
        train_embedder(settings_for(tmp_path / "none", tmp_path / "run"))


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there are no crops"):
        train_embedder(settings_for(tmp_path / "empty", tmp_path / "run"))


def test_one_identity(people: Path, tmp_path: Path) -> None:
    for file in people.iterdir():
        if not file.name.startswith("0001"):
            file.unlink()
    with pytest.raises(InputError, match="one identity only"):
        train_embedder(settings_for(people, tmp_path / "run"))


def test_a_name_without_camera(people: Path, tmp_path: Path) -> None:
    sorted(people.iterdir())[0].rename(people / "holiday.png")
    with pytest.raises(InputError, match=r"holiday\.png"):
        train_embedder(settings_for(people, tmp_path / "run"))


def test_a_damaged_image(people: Path, tmp_path: Path) -> None:
    sorted(people.iterdir())[3].write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot read the image"):
        train_embedder(settings_for(people, tmp_path / "run"))


def test_nothing_to_resume(people: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        train_embedder(settings_for(people, tmp_path / "run"), resume=True)


def test_pretrained_weights_that_are_not_weights(people: Path, tmp_path: Path) -> None:
    path = tmp_path / "backbone.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r"backbone\.pth"):
        train_embedder(settings_for(people, tmp_path / "run", pretrained=str(path)))
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"backbone\.pth"):
        train_embedder(settings_for(people, tmp_path / "run", pretrained=str(path)))


@pytest.mark.parametrize("source", ["imagenet", "other.safetensors"])
def test_pretrained_weights_that_do_not_exist(source: str, people: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=source):
        train_embedder(settings_for(people, tmp_path / "run", pretrained=source))


def test_pretrained_weights_of_another_network(people: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights of builtin match resnet18"):
        train_embedder(
            settings_for(
                people,
                tmp_path / "run",
                pretrained="builtin",
                network={"architecture": "resnet18", "neck": False, "dimension": 7},
            )
        )


def test_pretrained_weights_of_torchvision(people: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, tmp_path / "resnet18.pth")
    changes = {"pretrained": str(tmp_path / "resnet18.pth"), "network": {"architecture": "resnet18"}}
    config = settings_for(people, tmp_path / "run", steps=1, ema_decay=0, frozen_stages=5, **changes)
    arrays = load_model(train_embedder(config))[0]
    for key, value in state.items():
        if not key.startswith("fc"):
            np.testing.assert_array_equal(arrays[f"body.{key}"], value.numpy(), err_msg=key)


def test_validation_crops_without_a_match(people: Path, tmp_path: Path) -> None:
    strangers = draw_people(tmp_path / "strangers", 3, cameras=1)
    with pytest.raises(InputError, match=r"strangers has no query with a match"):
        train_embedder(settings_for(people, tmp_path / "run", val=(str(strangers),)))


def test_a_folder_that_holds_a_training(people: Path, tmp_path: Path) -> None:
    train_embedder(settings_for(people, tmp_path / "run", steps=1))
    with pytest.raises(InputError, match="there is a training in"):
        train_embedder(settings_for(people, tmp_path / "run"))


def test_an_unknown_loss() -> None:
    with pytest.raises(InputError, match=r"unknown loss 'tripplet'.*'triplet'"):
        loss_weights(validate_section(EmbedderTrainingConfig, {"losses": {"tripplet": 1}}, "my.yaml"))
