"""``ddbverify keygen``."""

from __future__ import annotations

from pathlib import Path

import click

from ddbverify.commands.shared import config_option, json_option, print_json, refuse
from ddbverify.config import Config, load
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.evidence import folders, sealing, signing


@click.command("keygen")
@config_option
@json_option
@click.option(
    "--findings",
    "findings_key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Make a key for sealed findings in this file instead, and print its public half for findings_key.",
)
def command(config_file: Path, findings_key: Path | None, *, as_json: bool) -> None:
    """
    Make the key that signs evidence, and print its public half for trusted_keys.

    A key that is there is never overwritten. Of a key in KMS, which is made there, the public half
    is printed.

    Exit status: 0 done, 2 usage, or there is a key already, 6 AWS refused.
    """
    try:
        if findings_key is not None:
            _show_findings_key(findings_key, sealing.make_private_key(findings_key), as_json=as_json)
            return
        place, public = _key(load(config_file))
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    if as_json:
        print_json({"command": "keygen", "signing_key": place, "public_key": public})
    else:
        click.echo(f"Signing key: {place}\nPublic key, for [gate] trusted_keys:", err=True)
        click.echo(public)


def _show_findings_key(path: Path, public: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"command": "keygen", "findings_key": str(path), "public_key": public})
        return
    click.echo(f"Private key: {path}. Keep it away from the pipeline.", err=True)
    click.echo("Public key, for [verification] findings_key:", err=True)
    click.echo(public)


def _key(config: Config) -> tuple[str, str]:
    """Where the key is, and its public half; a file is made."""
    path = signing.key_path(config)
    try:
        if path is not None and path.exists():
            raise ConfigurationError(
                f"There is a signing key already: {path}, whose public key is "
                f"{signing.signing_key(config).public}.",
                "use it; or move it away first, after which evidence that it signed opens no gate.",
            )
        if path is not None and path.parent == folders.home(config):
            folders.make_home(config)  # out of version control
        public = str(signing.signing_key(config).public)
    except OSError as error:
        raise folders.unusable(error, folders.home(config)) from error
    return config.gate.signing_key if path is None else str(path), public
