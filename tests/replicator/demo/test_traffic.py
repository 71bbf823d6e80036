"""The application of the demonstration: what it does where a write is not taken."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replicator.demo.traffic import Application
from tests.replicator.fakes import refusal


class Table:
    """Takes puts, once its session is one that has not ended."""

    def __init__(self, code: str = "") -> None:
        self.code = code
        self.items: list[Any] = []

    def put_item(self, *, Item: Any) -> None:  # noqa: N803
        if self.code:
            raise refusal(self.code)
        self.items.append(Item)


class Journal:
    """Counts; a file is not what this is about."""

    def __init__(self) -> None:
        self.keys: list[Any] = []

    def wrote(self, key: Any, item: Any) -> None:
        del item
        self.keys.append(key)


def application(source: Table, **more: Any) -> Application:
    made: Any = Application
    return made(source, Table(), lambda: None, "flipped", {"id": "S"}, {"id": "S"}, None, Journal(), **more)


@pytest.mark.parametrize("code", ["ExpiredTokenException", "ExpiredToken"])
def test_a_session_that_has_ended_is_taken_anew_once_by_all_writers(code):
    fresh, renewed = (Table(), Table()), []

    def renew() -> Any:
        renewed.append(True)
        return fresh

    app = application(Table(code), renew=renew)
    writers = [
        threading.Thread(target=app.write, args=({"id": str(n)}, None, {"id": str(n)})) for n in range(4)
    ]
    for one in writers:
        one.start()
    for one in writers:
        one.join()

    assert renewed == [True]
    assert len(fresh[0].items) == len(app.journal.keys) == 4


def test_one_that_cannot_be_taken_anew_ends_the_writer():
    app = application(Table("ExpiredTokenException"))
    with pytest.raises(ClientError):
        app.write({"id": "1"}, None, {"id": "1"})
    assert app.journal.keys == []
