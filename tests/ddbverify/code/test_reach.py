"""Which files of the user's decide what a transform makes, and what a folder of checks says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from ddbverify.code import digest, reach
from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError

Write = Callable[[dict[str, str]], None]

MOVES = "def orders(item):\n    return item\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.syspath_prepend(tmp_path)

    def into(files: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return into


@pytest.mark.parametrize(
    "helper",
    [
        "from shop.rules import keep\n",
        "import shop.rules as rules\n",
        "from . import rules\n",
        "from .rules import *\n",
        "def later():\n    from shop import rules\n    return rules\n",
        "import importlib\nrules = importlib.import_module('shop.' + 'rules')\n",
        "rules = __import__('shop.rules')\n",
        "import sys\nsys.path.append(__file__.rpartition('/')[0])\nimport rules\n",
        "import runpy, os\nimport pkgutil\n"
        "[__import__(f'shop.{one.name}') for one in pkgutil.iter_modules([os.path.dirname(__file__)])]\n",
    ],
)
def test_a_transform_reaches_what_it_imports_however_it_does(write: Write, tmp_path: Path, helper: str):
    write({"shop/__init__.py": "", "shop/moves.py": helper + MOVES, "shop/rules.py": "keep = 1\n"})

    assert tmp_path / "shop" / "rules.py" in reach.of_module("shop.moves").values()


def test_a_transform_does_not_reach_what_it_does_not_import(write: Write):
    write(
        {
            "shop/__init__.py": "",
            "shop/moves.py": "import json, boto3, ddbverify.errors\n" + MOVES,
            "shop/users.py": "",
            "shop/__pycache__/moves.pyc": "",
            "neighbour.py": "",
        }
    )

    assert set(reach.of_module("shop.moves")) == {"shop/__init__.py", "shop/moves.py"}


def test_modules_are_found_outside_of_the_package_and_on_from_there(write: Write):
    write(
        {
            "shop/moves.py": "import pricing.tax\n" + MOVES,
            "pricing/__init__.py": "from pricing import base",
            "pricing/base.py": "",
            "pricing/tax.py": "import tables_of_tax\n",
            "tables_of_tax.py": "",
        }
    )

    assert set(reach.of_module("shop.moves")) == {
        "shop/moves.py",
        "pricing/__init__.py",
        "pricing/base.py",
        "pricing/tax.py",
        "tables_of_tax.py",
    }


def test_a_package_in_site_packages_counts_when_it_holds_the_transform(write, tmp_path, monkeypatch):
    write({"shop/__init__.py": "", "shop/rules.py": "", "shop/moves.py": "from shop import rules\n" + MOVES})
    monkeypatch.setattr(reach, "is_environment", lambda file: file.startswith(str(tmp_path)))

    assert set(reach.of_module("shop.moves")) == {"shop/__init__.py", "shop/moves.py", "shop/rules.py"}


def test_a_module_that_hides_one_of_python_counts(write: Write):
    write({"shop.py": "import this\n" + MOVES, "this.py": ""})

    assert set(reach.of_module("shop")) == {"shop.py", "this.py"}


def test_what_is_found_is_looked_for_again_once_a_file_has_changed(write: Write):
    write({"shop.py": MOVES, "rules.py": ""})
    assert set(reach.of_module("shop")) == {"shop.py"}

    write({"shop.py": "import rules\n" + MOVES})
    assert set(reach.of_module("shop")) == {"shop.py", "rules.py"}


@pytest.mark.parametrize("leaving", ["import os; os._exit(0)", "raise SystemExit", "1 / 0", "print('{}')"])
def test_an_import_that_leaves_hides_nothing_that_statements_show(write: Write, leaving: str):
    write({"shop.py": f"import importlib\nimport rules\n{leaving}\n" + MOVES, "rules.py": ""})

    assert set(reach.of_module("shop")) == {"shop.py", "rules.py"}


def test_checks_reach_what_they_import_from_outside_their_folder(write: Write, tmp_path: Path):
    write(
        {
            "checks/conftest.py": "import sys\nsys.path.insert(0, sys.path[0].replace('/checks', '/lib'))\n",
            "checks/check_a.py": "import helper, expected\nfrom ddbverify import Pair\n",
            "checks/helper.py": "import rules\n",
            "rules.py": "",
            "lib/expected.py": "def lazily():\n    import more\n",
            "lib/more.py": "",
            "unrelated.py": "",
        }
    )

    assert set(reach.of_folder(tmp_path / "checks").values()) == {
        tmp_path / "rules.py",
        tmp_path / "lib" / "expected.py",
        tmp_path / "lib" / "more.py",
    }


# --- the digest of a transform ----------------------------------------------------------------


def config(folder: Path, *files: str) -> Config:
    pair = Pair(source="orders", target="orders-v2", transform="shop.moves:orders", transform_files=files)
    return Config(tables=(pair,), folder=folder)


def test_the_digest_is_over_what_decides_and_nothing_else(write: Write, tmp_path: Path):
    write({"shop/__init__.py": "", "shop/moves.py": "import rules\n" + MOVES, "rules.py": "x = 1\n"})
    settings = config(tmp_path)

    def now() -> str:
        return digest.transform_digest(settings, settings.tables[0])

    seen = [now()]
    for change in ({"rules.py": "x = 2\n"}, {"shop/__init__.py": "#\n"}, {"shop/moves.py": MOVES}):
        write(change)
        seen.append(now())
    assert len(set(seen)) == 4
    write({"shop/users.py": "", "rules.py": "x = 3\n", "shop/rates.json": "{}"})
    assert now() == seen[-1]


@pytest.mark.parametrize("named", ["data/rates.json", "data", "data/*.json", "**/rates.json"])
def test_files_that_a_pair_names_are_part_of_its_transform(write: Write, tmp_path: Path, named: str):
    write({"shop/moves.py": MOVES, "data/rates.json": "{}"})
    settings = config(tmp_path, named)
    before = digest.transform_digest(settings, settings.tables[0])
    assert "data/rates.json" in digest.transform_files(settings, "shop.moves:orders")

    write({"data/rates.json": "[]"})
    assert digest.transform_digest(settings, settings.tables[0]) != before


@pytest.mark.parametrize("named", ["rates.json", "", "/etc/passwd", "dtaa/*.json"])
def test_a_file_that_is_not_there_is_no_file(write: Write, tmp_path: Path, named: str):
    write({"shop/moves.py": MOVES})

    with pytest.raises(ConfigurationError, match="transform_files of orders -> orders-v2: there is no file"):
        digest.transform_files(config(tmp_path, named), "shop.moves:orders")


def test_an_inverse_has_a_digest_of_its_own_and_changes_nothing_of_the_transforms(
    write: Write, tmp_path: Path
):
    write(
        {"shop/moves.py": MOVES, "shop/back.py": "import rules\n" + MOVES, "rules.py": "", "rates.json": "{}"}
    )
    (pair,) = config(tmp_path, "rates.json").tables
    both = Config(tables=(structs.replace(pair, inverse="shop.back:orders"),), folder=tmp_path)

    files = digest.transforms_of(both)

    assert list(files) == ["shop.back:orders", "shop.moves:orders"]
    assert {"shop/back.py", "rules.py", "rates.json"} <= files["shop.back:orders"].keys()
    assert digest.transform_digest(both, both.tables[0]) == digest.transform_digest(
        config(tmp_path, "rates.json"), pair
    )


def test_a_module_that_is_not_there_has_no_digest(tmp_path: Path):
    assert "shop" not in sys.modules

    with pytest.raises(ConfigurationError, match=r"there is no module shop\.moves"):
        digest.transform_files(config(tmp_path), "shop.moves:orders")


HANGS = "import importlib, time\ntime.sleep(60)\n"


def test_an_import_that_does_not_end_is_told_while_it_is_waited_for_and_refused(
    write: Write, monkeypatch, capfd
):
    """The gate stood still for two minutes, said nothing, and went on as if nothing had been."""
    monkeypatch.setattr(reach, "PATIENT_SECONDS", 0.3)
    monkeypatch.setattr(reach, "SECONDS", 1.0)
    write({"hanging_shop.py": HANGS + MOVES})

    with pytest.raises(ConfigurationError, match="Importing hanging_shop did not end within 1 s") as caught:
        reach.of_module("hanging_shop")
    assert "python -c 'import hanging_shop'" in caught.value.hint
    assert capfd.readouterr().err == ("Importing hanging_shop, to see what comes in with it: 1 s at most.\n")


def test_of_a_folder_of_checks_it_is_told_and_left_to_the_run(
    write: Write, tmp_path: Path, monkeypatch, capfd
):
    monkeypatch.setattr(reach, "PATIENT_SECONDS", 0.3)
    monkeypatch.setattr(reach, "SECONDS", 1.0)
    write({"checks/check_hangs.py": HANGS})

    assert reach.of_folder(tmp_path / "checks") == {}
    said = capfd.readouterr().err.splitlines()
    assert said[0].startswith("Importing ")
    assert said[1].endswith(
        "did not end within 1 s: what comes in by other ways than import statements is not known."
    )


def test_one_that_ends_in_time_is_not_spoken_of(write: Write, capfd):
    write({"quick_shop.py": "import importlib\n" + MOVES})

    assert reach.of_module("quick_shop")
    assert capfd.readouterr().err == ""
