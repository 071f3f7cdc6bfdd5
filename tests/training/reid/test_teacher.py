"""An embedder learns from others: of one or several, of an ONNX file, and of people without identities."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from drawn_people import draw_people
from small_trainings import SMALL_TRAINING
from tracker.config import EmbedderTrainingConfig
from tracker.data import read_reid_dataset
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops
from tracker.models.model_file import load_model
from tracker.models.reid import BUILTIN, load_embedder, read_network
from tracker.models.runtime.compile import export_onnx
from tracker.training.curves import read_metrics_log
from tracker.training.reid.data import MixedBatchDataset
from tracker.training.reid.embedder import TaughtEmbedderModule, train_embedder
from tracker.training.reid.teacher import TeacherLoss, load_teacher

pytestmark = SMALL_TRAINING
IMAGENET_MEAN, IMAGENET_STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def settings_for(train: Path, folder: Path, **changes: object) -> EmbedderTrainingConfig:
    values = {
        "train": str(train), "folder": str(folder), "size": (32, 32), "teachers": ("builtin",),
        "identities_per_batch": 8, "crops_per_identity": 2, "steps": 4, "warmup_steps": 2, "ema_decay": 0.5,
        "validate_every": 4, "workers": 0, "network": {"architecture": "lenet"},
    }  # fmt: skip
    return EmbedderTrainingConfig.model_validate({**values, **changes})


def cosines(embeddings: torch.Tensor) -> torch.Tensor:
    unit = F.normalize(embeddings, dim=1)
    return unit @ unit.T


@pytest.mark.slow
def test_a_network_agrees_with_its_teacher_about_people_that_it_has_not_seen(tmp_path: Path) -> None:
    """The training images are those of one file of annotations, which names no identities."""
    others = read_reid_dataset([draw_people(tmp_path / "others", 12, seed=5)])
    train = draw_people(tmp_path / "people", 12)
    images = [{"id": n, "file_name": str(file)} for n, file in enumerate(sorted(train.iterdir()), 1)]
    annotations = [
        {"id": n["id"], "image_id": n["id"], "category_id": 1, "bbox": [0, 0, 20, 40], "iscrowd": 0} for n in images
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "people.json").write_text(json.dumps(content))
    plain = {"color_jitter": 0, "random_erase_prob": 0, "max_downscale_log2": 0, "val": (str(train),)}
    trained = train_embedder(
        settings_for(tmp_path / "people.json", tmp_path / "run", steps=80, validate_every=80, ema_decay=0.9, **plain)
    )
    untaught = train_embedder(settings_for(train, tmp_path / "one", steps=1, ema_decay=0))

    def measure(name: str) -> np.ndarray:
        with load_embedder(name, torch.device("cpu"), threads=1) as embedder:
            embeddings = embed_crops(embedder, others)
        embeddings = embeddings - embeddings.mean(0)
        return cosines(torch.from_numpy(embeddings)).numpy()[~np.eye(len(others), dtype=bool)]

    before, after = (np.corrcoef(measure(str(name)), measure("builtin"))[0, 1] for name in (untaught, trained))
    assert after > max(0.5, before + 0.2), (before, after)
    assert "teacher_cosine" in read_metrics_log(tmp_path / "run", {"embedder": 80})
    assert f"builtin, by 72 crops of {tmp_path / 'people.json'}" in (tmp_path / "run" / "card.md").read_text()


@pytest.mark.slow
def test_a_resumed_training_gives_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = draw_people(tmp_path / "people", 6)
    whole = train_embedder(settings_for(people, tmp_path / "whole", checkpoint_every=2))

    class Killed(Exception):
        pass

    training_step = TaughtEmbedderModule.training_step

    def interrupt(self: TaughtEmbedderModule, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 3:
            raise Killed
        return training_step(self, batch, index)

    config = settings_for(people, tmp_path / "resumed", checkpoint_every=2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TaughtEmbedderModule, "training_step", interrupt)
        train_embedder(config)
    resumed = train_embedder(config, resume=True)
    for key, value in load_model(whole)[0].items():
        np.testing.assert_array_equal(load_model(resumed)[0][key], value, err_msg=key)


@pytest.mark.parametrize("batch", [1, 3, 0], ids=["one", "three", "any"])
def test_an_onnx_file_is_a_teacher(batch: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 3), torch.nn.ReLU(), torch.nn.Flatten()).eval()
    example = (torch.zeros(max(1, batch), 3, 24, 16),)
    axes = {} if batch else {"images": {0: "batch"}, "output": {0: "batch"}}
    (tmp_path / "net.onnx").write_bytes(export_onnx(network, example, ["images"], ["output"], axes))
    crops = torch.rand(5, 3, 24, 16) * 255
    with torch.no_grad():
        expected = network((crops / 255 - IMAGENET_MEAN[:, None, None]) / IMAGENET_STD[:, None, None])
    np.testing.assert_allclose(load_teacher(str(tmp_path / "net.onnx"))(crops), expected, atol=1e-4)
    larger = F.interpolate(crops, (48, 32), mode="nearest")
    assert load_teacher(str(tmp_path / "net.onnx"))(larger).shape == expected.shape


def test_identities_and_crops_without_any_are_learned_from_together(tmp_path: Path) -> None:
    people, others = draw_people(tmp_path / "people", 4), draw_people(tmp_path / "others", 6, images=2, seed=3)
    changes = {"unlabeled": str(others), "unlabeled_per_batch": 5, "identities_per_batch": 3, "val": (str(people),)}
    config = settings_for(people, tmp_path / "run", losses={"triplet": 0.1}, **changes)
    trained = train_embedder(config)
    assert {"loss_teacher", "loss_triplet", "teacher_cosine"} <= read_metrics_log(
        tmp_path / "run", {"embedder": 4}
    ).keys()
    assert load_model(trained)[1].max_distance > 0
    card = (tmp_path / "run" / "card.md").read_text()
    assert "24 crops of 4 identities" in card and f"builtin, by 24 crops of {others}" in card

    crops, unlabeled = read_reid_dataset([people]), read_reid_dataset([others])
    batches = MixedBatchDataset(crops, unlabeled, config)
    _, ids = batches[0]
    assert ids.tolist() == sorted(ids.tolist(), key=lambda number: number < 0) and (ids < 0).sum() == 5
    seen = [index for batch in range(24) for index in batches.sample_batch(batch)[6:]]
    assert sorted(seen) == sorted([*range(24, 48)] * 5)
    assert {batches.crops.files[index] for index in seen} == set(unlabeled.files)


def test_several_teachers_are_learned_from_as_one(tmp_path: Path) -> None:
    """The cosines of the targets are the means of the teachers' cosines, whose own means are taken out."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 16, 16), torch.nn.Flatten()).eval()  # 64 numbers
    example = (torch.zeros(1, 3, 128, 64),)
    (tmp_path / "net.onnx").write_bytes(export_onnx(network, example, ["images"], ["output"], {}))
    crops = torch.rand(80, 3, 128, 64) * 255
    builtin = read_network(BUILTIN, "embedding")[0].eval()
    with torch.no_grad():
        outputs = [
            F.normalize(network((crops / 255 - IMAGENET_MEAN[:, None, None]) / IMAGENET_STD[:, None, None]), dim=1),
            builtin(crops),
        ]
    expected = sum(cosines(output - output.mean(0)) for output in outputs) / 2
    loss = TeacherLoss((str(tmp_path / "net.onnx"), "builtin"), crops, 200)
    targets = loss.targets(crops)
    np.testing.assert_allclose(cosines(targets), expected, atol=2e-3)
    assert targets.shape == (80, 200) and float(loss(targets, targets)) == pytest.approx(0, abs=1e-5)
    assert float(loss(targets.roll(1, 0), targets)) > 0.5


def test_what_cannot_teach_is_refused(tmp_path: Path) -> None:
    people = draw_people(tmp_path / "people", 2, cameras=1)
    flat = torch.nn.Flatten().eval()
    (tmp_path / "flat.onnx").write_bytes(export_onnx(flat, (torch.zeros(2, 5, 4),), ["x"], ["y"], {}))
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    for changes, message in (
        ({"teachers": ["none.onnx"]}, "there is no file none.onnx"),
        ({"teachers": [str(tmp_path / "flat.onnx")]}, "is no embedder"),
        ({"teachers": [str(tmp_path / "broken.onnx")]}, "cannot be read by ONNX Runtime"),
        ({"teachers": ["biultin"]}, "did you mean 'builtin'"),
        ({"losses": {"triplet": 1}}, "give the crops without as unlabeled"),
        ({"tracklets": True}, "leave tracklets out"),
        ({"unlabeled": str(tmp_path / "none")}, "cannot read the crops in"),
        ({"unlabeled": str(people), "teachers": []}, "give teachers"),
    ):
        with pytest.raises(InputError, match=message):
            train_embedder(settings_for(people, tmp_path / "run", **changes))
