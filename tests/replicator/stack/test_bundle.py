"""What goes into the zip, what is refused, and that it is proven to load."""

from __future__ import annotations

import base64
import email
import hashlib
import importlib
import importlib.metadata
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ddbverify.code import reach
from ddbverify.code.digest import transform_digest, transform_files, transforms_of
from ddbverify.code.imports import Import, imports_of
from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError
from ddbverify.items.transform import MANIFEST, bundled_digest
from replicator.stack import proof
from replicator.stack.bundle import Bundle, build
from replicator.stack.proof import prove

ROOT = Path(__file__).parents[3]
IDENTITY = "def same(item):\n    return item\n"

Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write modules into a folder that is on the path; nothing of them is ever imported here."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def into(files: dict[str, str]) -> None:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        importlib.invalidate_caches()  # a folder's clock is coarser than two writes

    return into


@pytest.fixture
def installed(write: Write) -> Callable[..., None]:
    """Write modules that count as an installed distribution, with its metadata."""

    def into(name: str, files: dict[str, str], *requires: str) -> None:
        info = f"{name}-1.0.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0"]
        metadata += [f"Requires-Dist: {one}" for one in requires]
        record = "".join(f"{file},,\n" for file in [*files, f"{info}/METADATA", f"{info}/RECORD"])
        write({**files, f"{info}/METADATA": "\n".join(metadata) + "\n", f"{info}/RECORD": record})

    return into


def build_transform(*transforms: str) -> Bundle:
    """Only what the transforms bring along: our handlers are in the test that is about them."""
    return build({name: transform_files(Config(tables=()), name) for name in transforms}, handlers=())


def names(bundle: Bundle) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        return set(archive.namelist()) - {MANIFEST}


def test_the_handlers_travel_with_all_they_need_and_nothing_else() -> None:
    """Their room, all of it, and the light modules of ddbverify that it names."""
    found = names(build())
    room = {f"replicator/handlers/{file.name}" for file in (ROOT / "replicator" / "handlers").glob("*.py")}

    assert {name for name in found if name.startswith(("ddbverify/", "replicator/"))} == room | {
        *(f"replicator/audits/{file.name}" for file in (ROOT / "replicator" / "audits").glob("*.py")),
        "ddbverify/__init__.py",
        "ddbverify/errors.py",
        "ddbverify/names.py",
        "ddbverify/words.py",
        "ddbverify/items/__init__.py",
        "ddbverify/items/inverse.py",
        "ddbverify/items/transform.py",
        "ddbverify/items/values.py",
        "ddbverify/tables/__init__.py",
        "ddbverify/tables/answers.py",
        "ddbverify/tables/credentials.py",
        "ddbverify/tables/references.py",
        "ddbverify/tables/translation.py",
        "replicator/__init__.py",
        "replicator/auditor.py",
        "replicator/aws/__init__.py",
        "replicator/aws/queue_counts.py",
        "replicator/aws/stream.py",
        "replicator/context/__init__.py",
        "replicator/context/tables.py",
        "replicator/consumer.py",
        "replicator/forwarder.py",
    }
    tops = {name.partition("/")[0] for name in found if not name.partition("/")[0].endswith(".dist-info")}
    assert tops == {"ddbverify", "replicator", "aws_lambda_powertools", "jmespath", "typing_extensions.py"}
    assert not any(name.endswith((".pyc", ".so")) for name in found)


def test_what_is_installed_says_its_version_in_the_bundle_and_leaves_its_description() -> None:
    with zipfile.ZipFile(io.BytesIO(build().content)) as archive:
        (place,) = (name for name in archive.namelist() if re.fullmatch(r"jmespath-.*/METADATA", name))
        told = email.message_from_bytes(archive.read(place))

    assert told["Version"] == importlib.metadata.version("jmespath")
    assert told.get_payload() == ""


def test_the_same_input_makes_the_same_bytes(write: Write) -> None:
    write({"shop.py": IDENTITY})
    transforms = {"shop:same": reach.of_module("shop")}
    first = build(transforms)

    assert build(transforms) == first
    digest = hashlib.sha256(first.content)
    assert first.sha256_base64 == base64.b64encode(digest.digest()).decode()
    assert first.key == f"bundles/{digest.hexdigest()}.zip"
    with zipfile.ZipFile(io.BytesIO(first.content)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
        assert archive.namelist() == sorted(archive.namelist())


def test_other_code_has_another_key(write: Write) -> None:
    write({"shop.py": IDENTITY})
    first = build_transform("shop:same")
    write({"shop.py": IDENTITY + "# changed\n"})

    assert build_transform("shop:same").key != first.key


def test_what_the_digest_is_over_travels_and_nothing_else(write: Write, tmp_path: Path) -> None:
    write(
        {
            "shop/__init__.py": "",
            "shop/migrations/orders.py": "from ..rules import keep\n\ndef v2(item):\n    return keep(item)\n",
            "shop/rules.py": "def keep(item):\n    return item\n",
            "shop/prices.json": "{}",
            "shop/notes.txt": "",
            "shop/unused.py": "import this_is_nowhere_installed\n",
            "shop/__pycache__/rules.cpython-311.pyc": "",
        }
    )
    pair = Pair(
        source="orders",
        target="orders-v2",
        transform="shop.migrations.orders:v2",
        transform_files=("shop/prices.json",),
    )
    config = Config(tables=(pair,), folder=tmp_path)
    bundle = build(transforms_of(config), handlers=())

    assert names(bundle) == {
        "shop/__init__.py",
        "shop/migrations/orders.py",
        "shop/rules.py",
        "shop/prices.json",
    }
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        archive.extractall(tmp_path / "lambda")
    digest = bundled_digest("shop.migrations.orders:v2", tmp_path / "lambda")
    assert digest == transform_digest(config, pair)


def test_what_a_transform_imports_travels_too(write: Write, installed: Callable[..., None]) -> None:
    write(
        {
            "shop.py": "import pricing.tax\nimport boto3\nimport json\n" + IDENTITY,
            "pricing/__init__.py": "",
            "pricing/tax.py": "def rate():\n    import slugs\n    return slugs.RATE\n",
        }
    )
    installed(
        "slugs",
        {"slugs/__init__.py": "import words\nRATE = 1\n", "slugs/table.txt": "x"},
        "words>=1",
        "nowhere; extra == 'speed'",
        "old-backport; python_version < '3.9'",
        "boto3",
    )
    installed("words", {"words.py": ""})

    found = names(build_transform("shop:same"))

    assert found == {
        "shop.py",
        "pricing/__init__.py",
        "pricing/tax.py",
        "slugs/__init__.py",
        "slugs/table.txt",
        "slugs-1.0.dist-info/METADATA",
        "words.py",
        "words-1.0.dist-info/METADATA",
    }


def test_two_transforms_share_a_bundle(write: Write) -> None:
    write({"shop.py": IDENTITY, "depot.py": IDENTITY})

    assert names(build_transform("shop:same", "depot:same", "shop:same")) == {"shop.py", "depot.py"}


@pytest.mark.parametrize(
    "file", ["_fast.cpython-312-x86_64-linux-gnu.so", "libfast.so.1", "fast.pyd", "a/b.dylib"]
)
def test_compiled_code_among_the_transforms_files_is_refused(write: Write, tmp_path: Path, file: str) -> None:
    write({"shop/__init__.py": IDENTITY, f"shop/{file}": ""})
    pair = Pair(source="a", target="b", transform="shop:same", transform_files=(f"shop/{file}",))

    with pytest.raises(ConfigurationError) as caught:
        build(transforms_of(Config(tables=(pair,), folder=tmp_path)), handlers=())
    assert "the transform shop:same" in caught.value.message
    assert f"shop/{file}" in caught.value.message
    assert "pure-Python" in caught.value.hint


def test_compiled_code_in_what_a_transform_imports_is_refused(
    write: Write, installed: Callable[..., None]
) -> None:
    write({"shop.py": "import quick\n" + IDENTITY})
    installed("quick", {"quick/__init__.py": ""}, "quicker")
    installed("quicker", {"quicker/__init__.py": "", "quicker/_core.abi3.so": ""})

    with pytest.raises(ConfigurationError, match=r"shop:same needs quicker \(through quick\)") as caught:
        build_transform("shop:same")
    assert "quicker/_core.abi3.so" in caught.value.message


def test_a_really_compiled_dependency_is_refused(write: Write) -> None:
    write({"shop.py": "def same(item):\n    import msgspec\n    return item\n"})

    with pytest.raises(ConfigurationError, match="needs msgspec"):
        build_transform("shop:same")


def test_a_missing_dependency_is_named_with_its_place(write: Write) -> None:
    write(
        {
            "shop/__init__.py": "",
            "shop/orders.py": "import json\nimport nowhere_to_be_found.part\n" + IDENTITY,
        }
    )

    with pytest.raises(ConfigurationError, match=r"shop\.orders, line 2, imports nowhere_to_be_found\.part"):
        build_transform("shop.orders:same")


def test_a_requirement_that_is_not_installed_is_named(write: Write, installed: Callable[..., None]) -> None:
    write({"shop.py": "import slugs\n" + IDENTITY})
    installed("slugs", {"slugs.py": ""}, "nowhere-to-be-found>=2")

    with pytest.raises(ConfigurationError, match="slugs requires nowhere-to-be-found"):
        build_transform("shop:same")


def test_what_the_code_can_do_without_may_be_missing(write: Write) -> None:
    optional = "try:\n    import nowhere_to_be_found\nexcept ImportError:\n    pass\n"
    typing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nowhere_either\n"
    write({"shop.py": optional + typing + IDENTITY})

    assert names(build_transform("shop:same")) == {"shop.py"}


def test_a_transform_that_is_not_there_is_refused(write: Write) -> None:
    with pytest.raises(ConfigurationError, match="no module nowhere_to_be_found"):
        build_transform("nowhere_to_be_found:same")
    write({"shop/__init__.py": ""})
    with pytest.raises(ConfigurationError, match=r"shop\.orders"):
        build_transform("shop.orders:same")


def test_a_function_that_is_not_there_fails_the_proof(write: Write) -> None:
    write({"shop.py": IDENTITY})

    with pytest.raises(ConfigurationError, match=r"shop:sane does not load from the bundle: AttributeError"):
        build_transform("shop:sane")


def test_an_import_that_no_statement_shows_is_found_in_a_fresh_interpreter(write: Write) -> None:
    write(
        {
            "shop.py": "import importlib\nimportlib.import_module('depot')\n" + IDENTITY,
            "depot.py": "import words\n",
            "words.py": "",
        }
    )

    assert names(build_transform("shop:same")) == {"shop.py", "depot.py", "words.py"}


def test_an_import_that_nobody_has_seen_fails_the_proof(write: Write) -> None:
    late = "import sys\nif 'ddbverify' not in sys.modules:\n    __import__('depot')\n"
    write({"shop.py": late + IDENTITY, "depot.py": ""})

    with pytest.raises(ConfigurationError, match="ModuleNotFoundError: No module named 'depot'"):
        build_transform("shop:same")


def test_an_import_that_does_not_end_is_told_while_it_is_waited_for(
    write: Write, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reach, "PATIENT_SECONDS", 0.3)
    monkeypatch.setattr(proof, "SECONDS", 1.5)
    write({"shop.py": "import time\ntime.sleep(60)\n" + IDENTITY})

    with pytest.raises(ConfigurationError, match="the imports took more than 2 s"):
        build_transform("shop:same")
    assert "Importing what is to be deployed, to see what comes in with it: 2 s" in capfd.readouterr().err


def test_this_environments_packages_do_not_help_the_proof(write: Write) -> None:
    write({"shop.py": "__import__('msgspec')\n" + IDENTITY})

    with pytest.raises(ConfigurationError, match="No module named 'msgspec'"):
        build_transform("shop:same")


@pytest.mark.parametrize("leaving", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_an_import_that_ends_python_proves_nothing(write: Write, leaving: str) -> None:
    write({"shop.py": f"print('{{\"loaded\": 1}}', end='')\n{leaving}\n" + IDENTITY})

    with pytest.raises(ConfigurationError, match="does not load from the bundle"):
        build_transform("shop:same")


def test_an_import_may_print(write: Write) -> None:
    write({"shop.py": "print('hello', end='')\n" + IDENTITY})

    build_transform("shop:same")


def test_the_runtimes_own_packages_are_there_and_do_not_travel(write: Write) -> None:
    write({"shop.py": "import boto3, botocore, dateutil, urllib3\nboto3.client('sqs')\n" + IDENTITY})

    assert names(build_transform("shop:same")) == {"shop.py"}


def test_text_that_is_no_python_names_the_file(write: Write) -> None:
    write({"shop.py": "def same(item:\n"})

    with pytest.raises(ConfigurationError, match=r"shop\.py, which the transform shop:same needs"):
        build_transform("shop:same")


def test_no_message_shows_where_this_machine_keeps_its_files(write: Write, tmp_path: Path) -> None:
    write({"shop.py": "import nowhere_to_be_found\n" + IDENTITY})

    with pytest.raises(ConfigurationError) as caught:
        build_transform("shop:same")
    assert str(tmp_path) not in str(caught.value)


def test_a_broken_bundle_is_no_proof() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("shop.py", "import absent\n")

    with pytest.raises(ConfigurationError, match=r"^shop:same does not load"):
        prove(buffer.getvalue(), ["shop:same"], ())


def test_imports_are_read_wherever_they_stand() -> None:
    source = """
import a.b, c
from . import d
from ..e import f as g
from .. import h
def lazy():
    from i.j import k, l
try:
    import m
except (ImportError, ValueError):
    import n
else:
    import o
if TYPE_CHECKING:
    import p
else:
    import q
"""
    found = list(imports_of(source, "x.y.z", is_package=False))

    assert [(one.module, one.names, one.optional) for one in found] == [
        ("a.b", (), False),
        ("c", (), False),
        ("x.y", ("d",), False),
        ("x.e", ("f",), False),
        ("x", ("h",), False),
        ("i.j", ("k", "l"), False),
        ("m", (), True),
        ("n", (), False),
        ("o", (), False),
        ("q", (), False),
    ]
    assert list(imports_of("from . import d", "x.y", is_package=True)) == [Import("x.y", ("d",), False, 1)]


def test_what_a_browser_would_show_is_left_out_and_all_else_of_a_distribution_is_there() -> None:
    names = zipfile.ZipFile(io.BytesIO(build().content)).namelist()
    installed = importlib.metadata.files("aws-lambda-powertools") or []
    left_out = [file for file in installed if "swagger-ui" in str(file)]

    assert left_out
    assert not {str(file) for file in left_out} & set(names)
    assert "aws_lambda_powertools/event_handler/openapi/swagger_ui/html.py" in names
