"""Files of `synth`: written again and again, never over anybody else's."""

from __future__ import annotations

import pytest

from ddbverify.errors import ConfigurationError
from replicator.commands.files_out import NOTE, write


def there(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != NOTE}


def test_what_was_written_is_written_over_and_what_is_no_more_is_removed(tmp_path):
    write(tmp_path / "out", {"a.yaml": "1", "b.yaml": "1"}, form="sam")
    write(tmp_path / "out", {"a.yaml": "2"}, form="sam")

    assert there(tmp_path / "out") == {"a.yaml": "2"}


def test_a_file_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "main.tf").write_text("mine")

    with pytest.raises(ConfigurationError, match="was not written like this"):
        write(tmp_path, {"a.yaml": "1", "main.tf": "ours"}, form="sam")
    assert there(tmp_path) == {"main.tf": "mine"}


@pytest.mark.parametrize("next_time", [{"a.yaml": "2"}, {"b.yaml": "1"}])
def test_what_was_changed_by_hand_is_neither_written_over_nor_removed(tmp_path, next_time):
    write(tmp_path, {"a.yaml": "1"}, form="sam")
    (tmp_path / "a.yaml").write_text("mine")

    with pytest.raises(ConfigurationError, match=r"a\.yaml is there already"):
        write(tmp_path, next_time, form="sam")
    assert there(tmp_path) == {"a.yaml": "mine"}


def test_the_same_file_is_no_obstacle_whoever_wrote_it(tmp_path):
    (tmp_path / "a.yaml").write_text("1")
    write(tmp_path, {"a.yaml": "1"}, form="sam")
    write(tmp_path, {"a.yaml": "2"}, form="sam")

    assert there(tmp_path) == {"a.yaml": "2"}


def test_a_folder_that_holds_another_form_keeps_its_files(tmp_path):
    """Whoever deploys from it with another tool would find `main.tf` gone."""
    write(tmp_path, {"a.yaml": "1", "main.tf": "1"}, form="terraform")

    with pytest.raises(ConfigurationError, match="wrote for terraform, and these are for sam: nothing was"):
        write(tmp_path, {"a.yaml": "1", "samconfig.toml": "1"}, form="sam")
    assert there(tmp_path) == {"a.yaml": "1", "main.tf": "1"}

    write(tmp_path, {"a.yaml": "2", "main.tf": "1"}, form="terraform")
    assert there(tmp_path) == {"a.yaml": "2", "main.tf": "1"}


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"a.yaml": "x"}',
        '{"format": 1, "files": {}}',
        '{"format": "sam", "files": []}',
        '{"format": "sam", "files": {"../a.yaml": "x"}}',
        '{"format": "sam", "files": {"a.yaml": 1, "/etc/x": "y"}}',
    ],
)
def test_a_note_that_was_changed_is_not_believed(tmp_path, text):
    (tmp_path / NOTE).write_text(text)

    with pytest.raises(ConfigurationError, match="does not say which files"):
        write(tmp_path, {"a.yaml": "1"}, form="sam")
    assert there(tmp_path) == {}
