"""Keys are made once, kept from others, and believed only where the configuration says so."""

from __future__ import annotations

import errno
import json
import stat

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ddbverify.cli import main
from ddbverify.config import load
from ddbverify.errors import ConfigurationError, EngineError, NotFoundError
from ddbverify.evidence import envelope, signing
from ddbverify.evidence.envelope import PublicKey
from ddbverify.tables import aws as clients
from tests.ddbverify import projects
from tests.ddbverify.keys import ARN, FakeKms, P256Key

KMS = projects.TOML + '[gate]\nsigning_key = "kms:alias/ddbverify"\n'


def project(folder, gate="", text=projects.TOML):
    return load(projects.make_project(folder, toml=text + gate))


@pytest.fixture
def kms(monkeypatch):
    fake = FakeKms()
    monkeypatch.setattr(clients, "client", lambda side, service, region=None: fake)
    return fake


def test_the_key_is_made_once_for_its_owner_only(tmp_path):
    config = project(tmp_path)
    assert signing.trusted_keys(config) == ()

    first, second = signing.signing_key(config), signing.signing_key(config)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.public == second.public
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert signing.trusted_keys(config) == (first.public,)
    assert PublicKey.parse(str(first.public)) == first.public


@pytest.mark.parametrize("use", [signing.signing_key, signing.trusted_keys])
def test_a_key_that_others_can_read_or_replace_or_that_is_none_is_refused(tmp_path, use):
    config = project(tmp_path)
    path = signing.signing_key(config).path
    for mode in (0o644, 0o640, 0o606):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match="read by others"):
            use(config)
    path.chmod(0o600)
    path.parent.chmod(0o777)
    with pytest.raises(ConfigurationError, match="replaced by others"):
        use(config)
    path.parent.chmod(0o1777)  # sticky, like /tmp: only the owner can replace it
    use(config)
    path.parent.chmod(0o700)
    path.write_bytes(b"no key")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        use(config)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        use(config)


def test_a_key_that_cannot_be_written_is_a_configuration_error(tmp_path):
    (tmp_path / "file").write_text("")
    config = project(tmp_path, '[gate]\nsigning_key = "file:file/key.pem"\n')

    with pytest.raises(ConfigurationError, match="cannot be written"):
        signing.signing_key(config)


def test_a_disk_that_is_full_leaves_no_half_of_a_key(tmp_path, monkeypatch):
    config = project(tmp_path)
    monkeypatch.setattr(signing.os, "fdopen", lambda *_, **__: disk_full())

    with pytest.raises(ConfigurationError, match="cannot be written: No space left"):
        signing.signing_key(config)

    assert not signing.key_path(config).exists()


def disk_full():
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("text", ["", "ed25519:AAAA", "nonsense", "arn:aws:s3:::bucket", "kms:alias/x"])
def test_a_trusted_key_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(ConfigurationError, match="trusted_keys"):
        signing.trusted_keys(project(tmp_path, f'[gate]\ntrusted_keys = ["{text}"]\n'))


def test_a_key_of_kms_signs_and_is_verified_here(tmp_path, kms):
    config = project(tmp_path, text=KMS)

    key = signing.signing_key(config)
    sealed = envelope.seal(b"x" * 100_000, envelope.RUN, key)

    (trusted,) = signing.trusted_keys(config)
    assert envelope.open_envelope(sealed, envelope.RUN, (trusted,)) == b"x" * 100_000
    assert str(trusted).startswith("ecdsa-p256:")
    # What signs is the key that was shown, even if the alias is pointed elsewhere in between.
    assert kms.calls == ["GetPublicKey alias/ddbverify", f"Sign {ARN}", "GetPublicKey alias/ddbverify"]


def test_a_signature_of_kms_that_does_not_fit_is_not_kept(tmp_path, kms):
    kms.breaks = True
    key = signing.signing_key(project(tmp_path, text=KMS))

    with pytest.raises(EngineError, match="does not fit"):
        key.sign(b"x")


@pytest.mark.parametrize(
    "fake",
    [
        FakeKms(spec="RSA_2048"),
        FakeKms(spec="ECC_NIST_EDWARDS25519", key=Ed25519PrivateKey.generate()),
        FakeKms(spec="ECC_NIST_P384", key=ec.generate_private_key(ec.SECP384R1())),
        FakeKms(usage="KEY_AGREEMENT"),
    ],
    ids=lambda fake: f"{fake.spec} {fake.usage}",
)
def test_a_key_of_kms_of_another_kind_is_refused(tmp_path, monkeypatch, fake):
    monkeypatch.setattr(clients, "client", lambda *_, **__: fake)

    with pytest.raises(ConfigurationError, match="ECC_NIST_P256"):
        signing.signing_key(project(tmp_path, text=KMS))


def test_the_arn_of_a_key_can_be_trusted_an_alias_cannot(tmp_path, kms):
    config = project(tmp_path, f'[gate]\ntrusted_keys = ["{ARN}", "{P256Key(4).public}"]\n')

    assert signing.trusted_keys(config) == (P256Key(3).public, P256Key(4).public)
    alias = ARN.replace(":key/", ":alias/")
    with pytest.raises(ConfigurationError, match="is an alias"):
        signing.trusted_keys(project(tmp_path / "b", f'[gate]\ntrusted_keys = ["{alias}"]\n'))


@pytest.mark.parametrize("elsewhere", [ARN.replace("123456789012", "210987654321"), "another partition"])
def test_a_key_of_another_place_than_its_arn_names_is_not_used(tmp_path, monkeypatch, elsewhere):
    named = ARN.replace("arn:aws:", "arn:aws-cn:") if elsewhere == "another partition" else elsewhere
    monkeypatch.setattr(clients, "client", lambda *_, **__: FakeKms())

    with pytest.raises(ConfigurationError, match=r"\[gate\] KMS key = .*AWS answered with another resource"):
        signing.signing_key(project(tmp_path, f'[gate]\nsigning_key = "kms:{named}"\n'))


def test_who_judges_needs_the_public_key_alone(tmp_path, kms):
    text = f'{KMS}trusted_keys = ["{P256Key(3).public}"]\n'

    assert signing.trusted_keys(project(tmp_path, text=text)) == (P256Key(3).public,)
    assert kms.calls == []


def keygen(config, *options):
    return CliRunner().invoke(main, ["keygen", "--config", str(config.folder / "migration.toml"), *options])


def test_keygen_makes_a_key_and_prints_what_to_trust(tmp_path):
    config = project(tmp_path)

    done = keygen(config)

    key = signing.signing_key(config)
    assert (done.exit_code, done.stdout) == (0, f"{key.public}\n")
    assert "trusted_keys" in done.stderr
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert (key.path.parent / ".gitignore").read_text() == "*\n"
    assert "PRIVATE" not in done.output


def test_keygen_says_where_it_cannot_write(tmp_path):
    config = project(tmp_path)
    (tmp_path / ".ddbverify").write_text("in the way")

    refused = keygen(config, "--json")

    assert refused.exit_code == 2
    assert "/.ddbverify cannot be used: File exists" in json.loads(refused.stdout)["error"]["message"]


def test_keygen_never_overwrites(tmp_path):
    config = project(tmp_path)
    key = signing.signing_key(config)
    before = key.path.read_bytes()

    done = keygen(config, "--json")

    assert done.exit_code == 2
    assert str(key.public) in json.loads(done.stdout)["error"]["message"]
    assert key.path.read_bytes() == before


def test_keygen_shows_the_public_half_of_a_key_in_kms(tmp_path, kms):
    done = keygen(project(tmp_path, text=KMS), "--json")

    assert json.loads(done.stdout) == {
        "command": "keygen",
        "signing_key": "kms:alias/ddbverify",
        "public_key": str(P256Key(3).public),
    }
    assert not (tmp_path / ".ddbverify").exists()


@pytest.mark.engine("ministack")
def test_keys_of_kms_on_a_real_engine(tmp_path, aws, unique, monkeypatch):
    for name, value in aws.environment("eu-west-1").items():
        monkeypatch.setenv(name, value)
    kms = aws.client("kms", "eu-west-1")
    alias = f"alias/{unique('ddbverify')}"
    arn = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    gate = f'[gate]\nsigning_key = "kms:{alias}"\ntrusted_keys = ["{arn}"]\n'
    url = f'[source]\nendpoint_url = "{kms.meta.endpoint_url}"\n'
    config = project(tmp_path, gate, projects.TOML.replace("[source]\n", url))

    sealed = envelope.seal(b"x" * 9000, envelope.RUN, signing.signing_key(config))

    assert envelope.open_envelope(sealed, envelope.RUN, signing.trusted_keys(config)) == b"x" * 9000
    edwards = kms.create_key(KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    for reference, error in ((edwards, ConfigurationError), ("alias/none", NotFoundError)):
        with pytest.raises(error):
            signing.kms_key(config, reference)
