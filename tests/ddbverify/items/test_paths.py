"""Attribute paths: written, read, refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ddbverify.errors import ConfigurationError
from ddbverify.items.paths import parse_path, show_path


@pytest.mark.parametrize("text", ["", ".", ".a", "a.", "a..b", "[0]", "a[x]", "a[0]b", "a]", "a\\"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ConfigurationError, match="ignore"):
        parse_path(text)


@given(st.lists(st.one_of(st.text(min_size=1, max_size=5), st.integers(0, 99)), min_size=1, max_size=4))
def test_paths_survive_being_shown(steps):
    assume(isinstance(steps[0], str))
    assert parse_path(show_path(tuple(steps))) == tuple(steps)
