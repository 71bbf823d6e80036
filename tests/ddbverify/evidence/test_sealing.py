"""Findings that only the holder of a key can open, wherever they lie."""

from __future__ import annotations

import base64
import json
import stat

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.cli import main
from ddbverify.config import load, parse
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.evidence import sealing
from ddbverify.runs import run as runs
from ddbverify.tables import aws as clients
from tests.ddbverify import projects
from tests.ddbverify.keys import ARN

PIECE = 64 * 1024
TOKEN = "key-of-an-item"


def configured(folder, key):
    return parse(f'{projects.TOML}\n[verification]\nfindings_key = "{key}"\n', folder)


@pytest.fixture
def key(tmp_path):
    """The private key's file, and its public half."""
    return tmp_path / "findings.pem", sealing.make_private_key(tmp_path / "findings.pem")


@pytest.fixture
def sealed(tmp_path, key):
    """Seal some bytes; gives the file."""

    def seal(content):
        (tmp_path / "plain").write_bytes(content)
        to = sealing.recipient(configured(tmp_path, key[1]))
        sealing.seal(tmp_path / "plain", tmp_path / "findings.sealed", to)
        return tmp_path / "findings.sealed"

    return seal


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 200_000])
def test_what_is_sealed_is_opened_line_by_line_and_not_to_be_seen(sealed, key, size):
    content = (f"{TOKEN} {'x' * 90}\n" * (size // 100 + 1))[:size].encode()

    file = sealed(content)

    assert "\n".join(sealing.lines(file, key[0])) == content.decode().removesuffix("\n")
    assert TOKEN.encode() not in file.read_bytes()


@pytest.mark.parametrize("kept", [PIECE + 16, 2 * (PIECE + 16), 10, 0])
def test_a_file_that_was_cut_off_does_not_open(sealed, key, kept):
    """At the border of a piece, too: the last piece is known as the last."""
    file = sealed(b"x" * (2 * PIECE + 7))
    header, _, body = file.read_bytes().partition(b"\n")
    file.write_bytes(header + b"\n" + body[:kept])

    with pytest.raises(ConfigurationError, match="altered or cut off"):
        list(sealing.lines(file, key[0]))


@pytest.mark.parametrize("share", [b"short", b"x" * 33, b"\0" * 32], ids=["short", "long", "of no order"])
def test_a_share_that_agrees_on_no_key_does_not_open(sealed, key, share):
    file = sealed(b"a line\n")
    header, _, body = file.read_bytes().partition(b"\n")
    altered = json.loads(header) | {"share": base64.b64encode(share).decode()}
    file.write_bytes(json.dumps(altered).encode() + b"\n" + body)

    with pytest.raises(ConfigurationError, match="altered or cut off"):
        list(sealing.lines(file, key[0]))


@given(data=st.data())
def test_whatever_bit_is_altered_it_does_not_open(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("sealed")
    public = sealing.make_private_key(folder / "key")
    (folder / "plain").write_bytes(b"a line\n" * 20)
    sealing.seal(folder / "plain", folder / "s.sealed", sealing.recipient(configured(folder, public)))
    content = bytearray((folder / "s.sealed").read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "s.sealed").write_bytes(content)

    with pytest.raises(DdbVerifyError):
        list(sealing.lines(folder / "s.sealed", folder / "key"))


def test_pieces_of_two_files_make_no_third(sealed, key):
    first = sealed(b"a" * (2 * PIECE)).read_bytes()
    file = sealed(b"b" * (2 * PIECE))
    second = file.read_bytes()
    at = second.index(b"\n") + 1
    file.write_bytes(second[:at] + first[at : at + PIECE + 16] + second[at + PIECE + 16 :])

    with pytest.raises(ConfigurationError, match="altered or cut off"):
        list(sealing.lines(file, key[0]))


def test_only_the_right_key_opens_it_and_says_so(sealed, tmp_path):
    file = sealed(b"a line\n")
    sealing.make_private_key(tmp_path / "other.pem")

    with pytest.raises(ConfigurationError, match=r"is sealed for x25519:.* is another key"):
        list(sealing.lines(file, tmp_path / "other.pem"))
    with pytest.raises(ConfigurationError, match="is sealed for x25519:") as caught:
        list(sealing.lines(file, None))
    assert "--key" in caught.value.hint


def test_a_private_key_is_for_its_owner_alone_and_never_overwritten(key):
    path, _ = key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigurationError, match="cannot be made"):
        sealing.make_private_key(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="read by others"):
        sealing._private(path)


@pytest.mark.parametrize("text", ["x25519:AAAA", "ed25519:" + "A" * 43 + "=", "kms:", "file:x", ""])
def test_what_names_no_key_is_refused(tmp_path, text):
    with pytest.raises(ConfigurationError, match="findings_key"):
        configured(tmp_path, text)


def test_a_number_that_is_no_key_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigurationError, match="no X25519 key"):
        sealing.recipient(configured(tmp_path, "x25519:" + "A" * 43 + "="))


class RsaInKms:
    """GetPublicKey and Decrypt of an asymmetric key, as strict as AWS documents them."""

    def __init__(self, algorithms=("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"), arn=ARN):
        self.private = rsa.generate_private_key(65537, 2048)
        self.algorithms, self.arn, self.calls = list(algorithms), arn, []

    def get_public_key(self, *, KeyId):  # noqa: N803
        self.calls.append(f"GetPublicKey {KeyId}")
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {
            "KeyId": self.arn,
            "PublicKey": der,
            "KeySpec": "RSA_2048",
            "EncryptionAlgorithms": self.algorithms,
        }

    def decrypt(self, *, KeyId, CiphertextBlob, EncryptionAlgorithm):  # noqa: N803
        assert EncryptionAlgorithm == "RSAES_OAEP_SHA_256"
        self.calls.append(f"Decrypt {KeyId}")
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        return {"KeyId": self.arn, "Plaintext": self.private.decrypt(CiphertextBlob, oaep)}


def test_a_key_of_kms_seals_with_what_may_be_read_and_decrypts_elsewhere(tmp_path, monkeypatch):
    kms = RsaInKms()
    monkeypatch.setattr(clients, "client", lambda side, service, region=None: kms)
    (tmp_path / "plain").write_bytes(b"one\ntwo\n")

    to = sealing.recipient(configured(tmp_path, "kms:alias/findings"))
    sealing.seal(tmp_path / "plain", tmp_path / "findings.sealed", to)
    assert kms.calls == ["GetPublicKey alias/findings"]  # a runner needs no right to decrypt

    assert list(sealing.lines(tmp_path / "findings.sealed", None)) == ["one", "two"]
    assert kms.calls[1:] == [f"Decrypt {ARN}"]


@pytest.mark.parametrize(
    ("fake", "named", "said"),
    [
        (RsaInKms(algorithms=()), "alias/x", "encrypts nothing outside KMS"),
        (RsaInKms(arn=ARN.replace("123456789012", "999999999999")), ARN, "another"),
    ],
)
def test_a_key_of_kms_that_will_not_do_is_refused_before_anything_is_read(
    tmp_path, monkeypatch, fake, named, said
):
    monkeypatch.setattr(clients, "client", lambda side, service, region=None: fake)

    with pytest.raises(ConfigurationError, match=said):
        sealing.recipient(configured(tmp_path, f"kms:{named}"))


def test_findings_of_a_run_are_opened_on_another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setattr(runs, "_identity", lambda side: None)
    runner, elsewhere, project = CliRunner(), tmp_path / "elsewhere", tmp_path / "project"
    elsewhere.mkdir()
    made = json.loads(runner.invoke(main, ["keygen", "--findings", str(elsewhere / "key"), "--json"]).stdout)
    projects.stand_in(project, monkeypatch)
    file = projects.make_project(
        project,
        toml=f'{projects.TOML}\n[verification]\nfindings_key = "{made["public_key"]}"\n',
        counts={"missing": 1},
        differences=[{"state": "missing", "key": {"id": {"S": TOKEN}}}],
    )

    result = runs.run(file)

    artefact = elsewhere / "artefact"
    artefact.mkdir()
    for name in ("evidence.json", "summary.md", "findings.sealed"):
        (artefact / name).write_bytes((result.folder / name).read_bytes())
    (line,) = (result.folder / "findings.jsonl").read_text().splitlines()
    assert TOKEN in (result.folder / "repair.json").read_text()  # which is in no sealed form, see below
    monkeypatch.chdir(elsewhere)
    assert TOKEN not in "".join(path.read_text("latin-1") for path in artefact.iterdir())
    asked = json.loads(line)["key_hash"]
    for place in (artefact, artefact / "findings.sealed"):
        opened = runner.invoke(main, ["explain", asked, str(place), "--key", "key"])
        assert opened.exit_code == 0, opened.output
        assert f'"S": "{TOKEN}"' in opened.stdout
    refused = runner.invoke(main, ["explain", asked, str(artefact)])
    assert refused.exit_code == 2
    assert "--key" in refused.output


def test_without_a_key_nothing_is_sealed(tmp_path):
    assert sealing.recipient(load(projects.make_project(tmp_path))) is None
