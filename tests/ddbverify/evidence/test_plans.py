"""A plan says which causes of which file are meant, and an edited one says nothing."""

from __future__ import annotations

import json

import pytest

from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders, plans
from ddbverify.evidence.plans import Chosen
from ddbverify.evidence.repairs import tail_of
from ddbverify.items.states import State
from tests.ddbverify.evidence.test_repairs import PAIR, found, write

CHOSEN = (Chosen(pair=PAIR.id, finding=State.DIFFERENT, cause="`price` is S instead of N — „“ 中"),)


def document(plan, **more):
    causes = [{"pair": one.pair, "finding": str(one.finding), "cause": one.cause} for one in plan.causes]
    return {"version": plan.version, "repair": plan.repair, "causes": causes, "sum": plan.sum} | more


@pytest.fixture
def place(tmp_path):
    return tmp_path / "plan.json"


def test_it_is_read_as_it_was_written(place):
    plan = plans.of("ab" * 32, CHOSEN)
    place.write_text(json.dumps(document(plan), indent=1, ensure_ascii=False), encoding="utf-8")
    assert plans.read(place) == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "is of version 2"),
        ({"repair": "cd" * 32}, "was edited"),
        ({"repair": "x"}, "was edited"),
        ({"causes": []}, "was edited"),
        ({"sum": "00000000"}, "was edited"),
        ({"more": 1}, "was edited"),
        ({"version": "one"}, "is no plan"),
    ],
)
def test_an_edited_one_is_refused_in_a_sentence(place, change, said):
    place.write_text(json.dumps(document(plans.of("ab" * 32, CHOSEN), **change)))
    with pytest.raises(ConfigurationError, match=said) as caught:
        plans.read(place)
    assert caught.value.hint


def test_one_without_a_cause_is_refused(place):
    place.write_text(json.dumps(document(plans.of("ab" * 32, ()))))
    with pytest.raises(ConfigurationError, match="names no cause"):
        plans.read(place)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        plans.read(place.with_name("other"))


def test_a_repair_json_or_its_folder_stands_for_all_causes(tmp_path):
    path = write(tmp_path, found())
    elsewhere = path.rename(tmp_path / "called-otherwise")
    assert plans.read(elsewhere) is None
    assert plans.read(tmp_path) is None


def test_its_repair_json_is_found_by_the_digest_and_never_by_its_place(tmp_path):
    config = Config(tables=(Pair(source="a", target="b"),), folder=tmp_path)
    runs = [folders.runs(config) / name for name in ("one", "two")]
    for number, run in enumerate(runs):
        run.mkdir(parents=True)
        write(run, found(key=str(number)))
    plan = plans.of(tail_of(runs[0] / "repair.json").digest, CHOSEN)
    asked = tmp_path / "downloads" / "plan.json"
    assert plans.place_of(plan, asked, config, None) == runs[0] / "repair.json"
    assert plans.place_of(None, runs[1], config, None) == runs[1] / "repair.json"
    for folder in (runs[1], tmp_path / "nowhere"):
        with pytest.raises(ConfigurationError, match="is not in"):
            plans.place_of(plan, asked, config, folder)
