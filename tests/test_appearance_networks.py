"""What every appearance network has to do: be built, embed, learn a step, be written, be read, embed the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from people import draw_people
from trainings import QUIET, one_thread  # noqa: F401 (pytest finds it here)

from tracker.appearance import build_embedder, crop_size, embedder_names, load_embedder
from tracker.config import EmbedderNetwork, EmbedderTraining
from tracker.data import read_crops
from tracker.errors import InputError
from tracker.training.crops import IndividualBatches
from tracker.training.embedder import EmbedderModule
from tracker.training.finishing import write_model
from tracker.training.starting import trunk_stages

pytestmark = QUIET
# One of each family, its smallest; those of many weights, or slow to build, take seconds.
SMALL = (
    *("builtin", "lenet", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0"),
    *("googlenet", "densenet121", "regnet_y_400mf"),
)
LARGE = ("vgg11", "inception_v3", "resnet34", "resnet50", "resnext50_32x4d", "convnext_tiny", "swin_t", "alexnet")
SMALLEST = {"inception_v3": (80, 80), "builtin": (64, 32), "alexnet": (64, 64)}  # others take crops of 32 x 32


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("drawn") / "people", 2, pictures=1)


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_it_embeds_learns_and_embeds_the_same_out_of_a_file(name: str, people: Path, tmp_path: Path) -> None:
    changes = {"network": {"architecture": name, "dimension": 16}, "size": SMALLEST.get(name, (32, 32)), "crops": 2}
    config = EmbedderTraining.model_validate({"train": str(people), **changes})
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
    assert trunk_stages(module.model)
    path = tmp_path / "model.safetensors"
    write_model(path, config, module.info, module.model)
    with torch.no_grad():
        expected = module.model.eval()(images).numpy()
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    with load_embedder(str(path), torch.device("cpu"), threads=1) as embedder:
        assert embedder.dimension == 16
        with torch.no_grad():
            np.testing.assert_allclose(embedder.model(images).numpy(), expected, atol=1e-3)  # batch norms are folded


def test_the_networks_of_the_readme_are_there() -> None:
    families = {"vgg", "googlenet", "inception_v3", "resnet", "resnext", "densenet", "mobilenet", "shufflenet"}
    families |= {"efficientnet", "convnext", "lenet", "builtin"}
    assert all(any(name.startswith(family) for name in embedder_names()) for family in families)
    assert set(SMALL) | set(LARGE) <= set(embedder_names())
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


def test_a_width_is_lenets_alone() -> None:
    with pytest.raises(InputError, match="builtin has no width"):
        build_embedder(EmbedderNetwork(width=2), (128, 64))
