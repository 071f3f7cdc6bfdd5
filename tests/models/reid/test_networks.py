"""What every appearance network has to do: be built, embed, learn a step, be written, be read, embed the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from drawn_people import draw_people
from small_trainings import SMALL_TRAINING
from tracker.config import EmbedderNetwork, EmbedderTrainingConfig
from tracker.data import read_crops
from tracker.errors import InputError
from tracker.models.reid import build_embedder, crop_size, embedder_names, load_embedder
from tracker.models.reid.network import OURS
from tracker.training.detector.artifacts import write_model
from tracker.training.reid.data import IndividualBatches
from tracker.training.reid.embedder import EmbedderModule
from tracker.training.reid.pretrained import backbone_stages

pytestmark = SMALL_TRAINING
FAST = (  # the smallest of most families
    *("builtin", "lenet", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0"),
    *("googlenet", "densenet121", "regnet_y_400mf"),
)
LIGHT = 32e6  # weights; a step of AdamW with more takes seconds, and such networks are smaller ones with more layers
HEAVY_FAMILIES = ("alexnet", "vgg11", "vit_b_32")  # the lightest of those whose lightest is no lighter
# (height, width) of crops; others take 32 x 32
SMALLEST = {"inception_v3": (80, 80), "builtin": (64, 32), "alexnet": (64, 64), "maxvit_t": (224, 224)}


def weights_of(name: str) -> float:
    return 0 if name in OURS else torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]


WHOLE = [name for name in embedder_names() if weights_of(name) < LIGHT or name in HEAVY_FAMILIES]
SHAPES = sorted(set(embedder_names()) - set(WHOLE))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("drawn") / "people", 2, pictures=1)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in WHOLE]
)
def test_it_embeds_learns_and_embeds_the_same_out_of_a_file(name: str, people: Path, tmp_path: Path) -> None:
    changes = {"network": {"architecture": name, "dimension": 16}, "size": SMALLEST.get(name, (32, 32)), "crops": 2}
    config = EmbedderTrainingConfig.model_validate({"train": str(people), **changes})
    crops = read_crops([people])
    batches = IndividualBatches(crops, config)
    module = EmbedderModule(config, batches, crops)
    images, ids = batches[0]
    before = [parameter.detach().clone() for parameter in module.model.body.parameters()]
    sum(module.losses(images, ids)[0].values()).backward()  # type: ignore[union-attr]
    how = module.configure_optimizers()  # whose schedule the optimiser knows only as long as it lives
    how["optimizer"].step()
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
            np.testing.assert_allclose(embedder.model(images).numpy(), expected, atol=1e-3)  # batch norms are folded


@pytest.mark.slow
def test_the_heavy_ones_have_an_embedding_and_stages() -> None:
    """As shapes alone, at the size that their ImageNet weights take."""
    for name in SHAPES:
        if name.startswith("regnet"):
            continue  # they look at numbers while they are built; the lighter ones are built above
        size = crop_size(name)
        with torch.device("meta"):
            model = build_embedder(EmbedderNetwork(architecture=name, dimension=16), size).eval()
            assert model(torch.zeros(2, 3, *size)).shape == (2, 16), name
        assert sum(len(list(stage.parameters())) for stage in backbone_stages(model)) > 10, name


def test_the_networks_of_the_readme_are_there() -> None:
    families = {"vgg", "googlenet", "inception_v3", "resnet", "resnext", "densenet", "mobilenet", "shufflenet"}
    families |= {"efficientnet", "convnext", "lenet", "builtin"}
    assert all(any(name.startswith(family) for name in embedder_names()) for family in families)
    assert set(FAST) <= set(WHOLE)
    assert crop_size("inception_v3") == (299, 299)
    assert crop_size("resnet18") == (224, 224)


def test_the_embedding_is_the_input_of_the_last_linear() -> None:
    """Without projection and neck it has as many numbers as that input."""
    network = EmbedderNetwork(architecture="mobilenet_v3_small", dimension=0, neck=False)
    model = build_embedder(network, (32, 32)).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1024)


def test_a_name_that_is_nearly_one() -> None:
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        crop_size("resnet-18")


def test_a_size_that_a_network_cannot_take() -> None:
    with pytest.raises(InputError, match=r"builtin cannot take crops of 20 x 20 pixels .*; 128 x 64 fit"):
        build_embedder(EmbedderNetwork(), (20, 20))
    with pytest.raises(InputError, match=r"vit_b_32 cannot take crops of 64 x 32 pixels .*; 224 x 224 fit"):
        build_embedder(EmbedderNetwork(architecture="vit_b_32"), (64, 32))


def test_a_width_is_lenets_alone() -> None:
    with pytest.raises(InputError, match="builtin has no width"):
        build_embedder(EmbedderNetwork(width=2), (128, 64))
