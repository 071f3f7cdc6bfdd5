import pytest

from paths import REPOSITORY
from tracker.config import Config, DetectorTrainingConfig, TrackerConfig, load_config, merged, read_yaml, validated
from tracker.errors import InputError


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_default(tmp_path):
    assert load_config(write(tmp_path, "")) == Config()


def test_overrides_go_before_the_file_and_the_file_before_the_defaults(tmp_path):
    path = write(tmp_path, "detector:\n  score: 0.3\n  batch_size: 2\n")
    config = load_config(path, {"detector": {"score": 0.7}})
    assert (config.detector.score, config.detector.batch_size) == (0.7, 2)
    assert config.tracker == TrackerConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("detector:\n  scroe: 0.3\n", "did you mean 'score'"),
        ("detectr:\n  score: 0.3\n", "did you mean 'detector'"),
        ("detector:\n  score: 1.5\n", "less than or equal to 1"),
        ("detector:\n  score: many\n", "detector.score"),
        ("tracker:\n  max_age: 0\n", "greater than 0"),
        ("- a\n- b\n", "must hold sections"),
        ("detector: [1", "is not valid YAML"),
        ("detector: 3\n", "detector"),
    ],
)
def test_a_mistake_gets_one_sentence(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        load_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml"):
        read_yaml(tmp_path / "gone.yaml")


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().detector.score = 0.1


def test_every_leaf_has_a_description_and_a_name_of_its_own():
    leaves = [
        (name, field)
        for section in Config.model_fields.values()
        for name, field in section.annotation.model_fields.items()
    ]
    assert all(field.description for _, field in leaves)
    names = [name for name, _ in leaves]
    assert len(names) == len(set(names))


def test_the_shipped_recipe_of_the_detector_loads():
    path = REPOSITORY / "configs" / "detector_builtin.yaml"
    assert validated(DetectorTrainingConfig, read_yaml(path), str(path)).steps > 0


def test_merging_nothing_changes_nothing():
    assert merged({}, {}, "nowhere") == Config()
