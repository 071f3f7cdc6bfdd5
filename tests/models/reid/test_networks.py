"""Tests of every appearance network: it is built, embeds, trains one step, and is saved and loaded unchanged."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from drawn_people import draw_people
from small_trainings import SMALL_TRAINING
from tracker.config import EmbedderNetwork, EmbedderTrainingConfig
from tracker.data import read_reid_dataset
from tracker.errors import InputError
from tracker.models.reid import build_embedder, crop_size, embedder_names, load_embedder
from tracker.models.reid.network import OWN_CROP_SIZES
from tracker.training.detector.artifacts import write_model
from tracker.training.reid.data import IdentityBatchDataset
from tracker.training.reid.embedder import EmbedderModule
from tracker.training.reid.pretrained import backbone_stages

pytestmark = SMALL_TRAINING
FAST = (  # the smallest of most families
    *("builtin", "lenet", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0"),
    *("googlenet", "densenet121", "regnet_y_400mf"),
)
LIGHT = 32e6  # parameters; a step of AdamW on more takes seconds, and such networks are deeper versions of smaller ones
HEAVY_FAMILIES = (
    "alexnet",
    "vgg11",
    "vit_b_32",
)  # the lightest network of each family that has none lighter than LIGHT
# (height, width) of crops; others take 32 x 32
SMALLEST = {"inception_v3": (80, 80), "builtin": (64, 32), "alexnet": (64, 64), "maxvit_t": (224, 224)}


def parameter_count(name: str) -> float:
    return 0 if name in OWN_CROP_SIZES else torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]


TRAINED = [name for name in embedder_names() if parameter_count(name) < LIGHT or name in HEAVY_FAMILIES]
HEAVY = sorted(set(embedder_names()) - set(TRAINED))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("drawn") / "people", 2, images=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in TRAINED]
)
def test_a_network_embeds_trains_and_embeds_the_same_after_loading(name: str, people: Path, tmp_path: Path) -> None:
    network, size = {"architecture": name, "dimension": 16}, SMALLEST.get(name, (32, 32))
    config = EmbedderTrainingConfig.model_validate(
        {"train": str(people), "network": network, "size": size, "crops_per_identity": 2}
    )
    crops = read_reid_dataset([people])
    batches = IdentityBatchDataset(crops, config)
    module = EmbedderModule(config, batches, crops)
    images, ids = batches[0]
    before = [parameter.detach().clone() for parameter in module.model.body.parameters()]
    sum(module.compute_losses(images, ids)[0].values()).backward()  # type: ignore[union-attr]
    optimizers = module.configure_optimizers()  # keeps the schedule alive, to which the optimizer has a weak reference
    optimizers["optimizer"].step()
    changed = [not torch.equal(a, b) for a, b in zip(before, module.model.body.parameters(), strict=True)]
    assert np.mean(changed) > 0.5
    assert backbone_stages(module.model)
    path = tmp_path / "model.safetensors"
    write_model(path, config, module.info, module.model)
    with torch.no_grad():
        expected = module.model.eval()(images).numpy()
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    with load_embedder(str(path), torch.device("cpu"), threads=1) as embedder:
        assert embedder.dimension == 16
        with torch.no_grad():
            np.testing.assert_allclose(
                embedder.function.model(images).numpy(), expected, atol=1e-3
            )  # batch norms are folded


@pytest.mark.slow
def test_heavy_networks_have_an_embedding_and_stages() -> None:
    """Checks shapes only, on the meta device, at the crop size of the ImageNet weights."""
    for name in HEAVY:
        if name.startswith("regnet"):
            continue  # they cannot be built on the meta device; the lighter ones are built above
        size = crop_size(name)
        with torch.device("meta"):
            model = build_embedder(EmbedderNetwork(architecture=name, dimension=16), size).eval()
            assert model(torch.zeros(2, 3, *size)).shape == (2, 16), name
        assert sum(len(list(stage.parameters())) for stage in backbone_stages(model)) > 10, name


def test_the_networks_of_the_readme_exist() -> None:
    families = {"vgg", "googlenet", "inception_v3", "resnet", "resnext", "densenet", "mobilenet", "shufflenet"}
    families |= {"efficientnet", "convnext", "lenet", "builtin"}
    assert all(any(name.startswith(family) for name in embedder_names()) for family in families)
    assert set(FAST) <= set(TRAINED)
    assert crop_size("inception_v3") == (299, 299)
    assert crop_size("resnet18") == (224, 224)


def test_the_embedding_is_the_input_of_the_last_linear() -> None:
    """Without projection and neck it has the length of that input."""
    network = EmbedderNetwork(architecture="mobilenet_v3_small", dimension=0, neck=False)
    model = build_embedder(network, (32, 32)).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1024)


def test_a_misspelled_name_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        crop_size("resnet-18")


def test_unsupported_crop_sizes_are_errors() -> None:
    with pytest.raises(InputError, match=r"builtin cannot take crops of 20 x 20 pixels .*; 128 x 64 fit"):
        build_embedder(EmbedderNetwork(), (20, 20))
    with pytest.raises(InputError, match=r"vit_b_32 cannot take crops of 64 x 32 pixels .*; 224 x 224 fit"):
        build_embedder(EmbedderNetwork(architecture="vit_b_32"), (64, 32))


def test_only_lenet_has_a_width() -> None:
    with pytest.raises(InputError, match="builtin has no width"):
        build_embedder(EmbedderNetwork(width=2), (128, 64))
