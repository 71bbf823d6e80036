"""Which proof is made when: of the table that leads at once, of the one that follows once it has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from replicator.context.console import Console
from replicator.demo import story
from replicator.demo.proof import Proof
from replicator.demo.story import Options, Story

HOLDS = Proof(10, 5, 0, 0, 0, 0)
NOT_YET = Proof(10, 5, 1, 0, 0, 0)


def told(monkeypatch, tmp_path, *, short, target, source):
    """What `_prove` says, where each look at a table gives the next of these proofs."""
    places = {name: SimpleNamespace(table=lambda name=name: name) for name in ("source", "target")}
    looks = {"source": iter(source), "target": iter(target)}
    monkeypatch.setattr(story, "prove", lambda table, *_: next(looks[table]))
    monkeypatch.setattr(story, "_FOLLOWER_SECONDS", 0.0 if NOT_YET in (*target[-1:], *source[-1:]) else 60.0)
    monkeypatch.setattr(Story, "_let_it_drain", lambda _: None)
    monkeypatch.setattr(Story, "aws_has_target", lambda _: True)
    scene = SimpleNamespace(**places, environments={})
    made = Story(Options(short=short), Console(), scene, tmp_path, [], {}, {}, False, None)
    return made._prove(SimpleNamespace(path=tmp_path / "journal"), "")


def test_the_table_that_leads_is_looked_at_once(monkeypatch, tmp_path):
    said = told(monkeypatch, tmp_path, short=False, target=[NOT_YET, HOLDS], source=[HOLDS])
    assert said == "the proof does not hold: lost 1, resurrected 0, stale 0"


def test_a_table_that_follows_has_time_to(monkeypatch, tmp_path):
    assert told(monkeypatch, tmp_path, short=False, target=[HOLDS], source=[NOT_YET, HOLDS]) == ""
    assert told(monkeypatch, tmp_path, short=True, target=[NOT_YET, HOLDS], source=[HOLDS]) == ""


@pytest.mark.parametrize("short", [True, False])
def test_what_never_arrives_is_lost(monkeypatch, tmp_path, short):
    lost = [NOT_YET] * 3
    target, source = (lost, [HOLDS]) if short else ([HOLDS], lost)
    assert "lost 1" in told(monkeypatch, tmp_path, short=short, target=target, source=source)
