"""Settings: files, overrides, presets, and the errors of bad ones."""

import pytest

from paths import REPOSITORY
from tracker.config import (
    Config,
    DetectorTrainingConfig,
    TrackerConfig,
    load_config,
    merge_config,
    read_yaml,
    validate_section,
)
from tracker.errors import InputError


def write_config(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_default(tmp_path):
    assert load_config(write_config(tmp_path, "")) == Config()


@pytest.mark.smoke
def test_overrides_take_precedence_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = write_config(tmp_path, "detector:\n  score: 0.3\n  batch_size: 2\n")
    config = load_config(path, {"detector": {"score": 0.7}})
    assert (config.detector.score, config.detector.batch_size) == (0.7, 2)
    assert config.tracker == TrackerConfig()


@pytest.mark.parametrize(
    ("text", "message"),
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
@pytest.mark.smoke
def test_a_bad_config_gets_one_sentence(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        load_config(write_config(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml"):
        read_yaml(tmp_path / "gone.yaml")


def test_a_preset_is_found_by_its_name():
    assert load_config("bytetrack") == load_config(REPOSITORY / "configs" / "bytetrack.yaml") != Config()
    assert load_config("bytetrack", {"tracker": {"max_age": 2}}).tracker.max_age == 2


def test_a_file_in_the_current_folder_is_preferred_to_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bytetrack").write_text("detector: {score: 0.3}")
    assert load_config("bytetrack") == load_config({"detector": {"score": 0.3}})


def test_an_unknown_preset_gets_the_nearest_name_and_the_list():
    with pytest.raises(InputError, match=r"no config 'bytetrak' \(did you mean 'bytetrack'\?\); known: botsort, byte"):
        load_config("bytetrak")


def test_a_mapping_is_checked_as_a_file_is():
    with pytest.raises(InputError, match=r"the config: unknown key 'detector.scroe' \(did you mean 'score'"):
        load_config({"detector": {"scroe": 0.3}})


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().detector.score = 0.1


def test_every_setting_has_a_description_and_a_unique_name():
    settings = [
        (name, field)
        for section in Config.model_fields.values()
        for name, field in section.annotation.model_fields.items()
    ]
    assert all(field.description for _, field in settings)
    names = [name for name, _ in settings]
    assert len(names) == len(set(names))


def test_the_shipped_training_config_of_the_detector_loads():
    path = REPOSITORY / "configs" / "detector_builtin.yaml"
    assert validate_section(DetectorTrainingConfig, read_yaml(path), str(path)).steps > 0


def test_merging_nothing_changes_nothing():
    assert merge_config({}, {}, "nowhere") == Config()
