"""What is committed of the templates' parameters is what the templates say."""

from __future__ import annotations

import pytest

from replicator.stack import stacks
from tests.constructs.parameters import OWN, ROOT
from tests.constructs.written import FILES
from tests.replicator.stack.template_rules import parsed


@pytest.mark.parametrize("name", FILES)
def test_the_types_are_made_of_the_templates(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), (
        "run `python -m tests.constructs.written`"
    )


@pytest.mark.parametrize("part", OWN)
def test_what_follows_from_the_migration_is_a_parameter_of_the_template(part: stacks.Template) -> None:
    assert OWN[part] <= parsed(stacks.template_body(part))["Parameters"].keys()
