"""
The code of the two functions as one zip: what their imports reach, and nothing compiled.

Our own packages travel module by module, as far as the handlers' imports reach: nothing is
forgotten, and nothing heavy gets in. Of a transform travel the files that its digest is over, and a
list of them, by which the consumer takes the digest again. What is installed travels with what its
metadata requires. boto3 is the runtime's own. The same input makes the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from ddbverify.code.digest import IGNORED_FILES
from ddbverify.code.imports import Import, find, imports_of
from ddbverify.code.places import OURS
from ddbverify.code.reach import Files
from ddbverify.errors import ConfigurationError
from ddbverify.items.transform import MANIFEST
from replicator.stack.proof import prove

HANDLERS: Final = (
    "replicator.forwarder:handler",
    "replicator.consumer:handler",
    "replicator.auditor:handler",
)
RUNTIME_PYTHON: Final = (3, 12)  # as the templates say

NO_TRANSFORMS: Final[Mapping[str, Files]] = {}

# In every Python runtime of Lambda. jmespath is too, but powertools names a version of it.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
RUNTIME_PACKAGES: Final = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six")
_RUNTIME_DISTRIBUTIONS: Final = {*RUNTIME_PACKAGES, "python-dateutil"}

UNZIPPED_LIMIT: Final = 250 * 2**20  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html

_COMPILED: Final = {".so", ".pyd", ".dylib", ".dll"}
_DESCRIBED: Final = {"METADATA", "PKG-INFO"}
_METADATA_FILES: Final = {*_DESCRIBED, "entry_points.txt"}  # the rest names this machine
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
_FILE_MODE: Final = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class Bundle:
    """
    The code of the functions.

    Args:
        content: A zip file.
        sha256_base64: What Lambda's ``CodeSha256`` says once this code is deployed.
        key: Where it belongs in the bucket; other content has another key.
    """

    content: bytes = field(repr=False)
    sha256_base64: str
    key: str

    @classmethod
    def of(cls, content: bytes) -> Bundle:
        """A bundle of this zip file."""
        digest = hashlib.sha256(content)
        return cls(content, base64.b64encode(digest.digest()).decode(), f"bundles/{digest.hexdigest()}.zip")


_PAGES: Final = "aws_lambda_powertools/event_handler/openapi/swagger_ui/swagger-ui"
"""What a browser would show of an HTTP API, half of the bundle; a function that has none never reads it."""


def build(transforms: Mapping[str, Files] = NO_TRANSFORMS, *, handlers: Sequence[str] = HANDLERS) -> Bundle:
    """
    The bundle of a migration, proven to load by itself.

    Args:
        transforms: ``module:function`` of every pair that has one, found on `sys.path`, with its files.
        handlers: ``module:function`` of every function that is deployed from the bundle.

    Raises:
        ConfigurationError: A transform is not there, is or imports compiled code, imports what is
            not installed, or does not load from the bundle. The message names the transform, the
            module and the file.
    """
    files: dict[str, Path] = {}
    for handler in dict.fromkeys(handlers):
        files |= _Collector(f"the function {handler}").collect(handler.partition(":")[0])
    for transform, own in transforms.items():
        files |= _Collector(f"the transform {transform}").with_transform(transform, own)
    content = {place: _content(place, file) for place, file in files.items()}
    for own in transforms.values():  # as they are: their digest is taken again over these bytes
        content |= {place: file.read_bytes() for place, file in own.items()}
    if transforms:
        content[MANIFEST] = _manifest(transforms)
    bundle = Bundle.of(_zip(content))
    prove(bundle.content, [*handlers, *transforms], RUNTIME_PACKAGES)
    return bundle


@dataclass
class _Collector:
    """Files of whatever one function or transform reaches: path in the bundle -> file."""

    reader: str  # whose imports are followed, in words
    files: dict[str, Path] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def with_transform(self, name: str, files: Files) -> dict[str, Path]:
        module = name.partition(":")[0]
        for place in files:
            if _is_compiled(place):
                raise self._compiled(module, place)
        self.files |= files
        self.collect(module)
        for place in files:  # modules that no import statement shows
            if place.endswith(".py"):
                self._read(place.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        return self.files

    def collect(self, module: str) -> dict[str, Path]:
        self._follow(Import(module, (), optional=False, line=0), self.reader)
        return self.files

    def _follow(self, wanted: Import, importer: str) -> None:
        top = wanted.module.partition(".")[0]
        if top in sys.stdlib_module_names or top in RUNTIME_PACKAGES:
            return
        if top not in OURS and (distribution := _distribution_of(wanted.module)) is not None:
            self._take_distribution(distribution, importer)
            return
        parts = wanted.module.split(".")
        for depth in range(1, len(parts) + 1):
            if not self._read(".".join(parts[:depth])):
                self._missing(wanted, wanted.module, importer)
                return
        for name in wanted.names:  # `from a import b`: b may be a module, or just a name in one
            self._read(f"{wanted.module}.{name}")

    def _read(self, module: str) -> bool:
        """Take a module of a folder, and follow its imports; says whether there is one."""
        if module in self.seen:
            return True
        spec = find(module)
        if spec is None:
            return False
        self.seen.add(module)
        if spec.origin is None or not Path(spec.origin).is_file():
            return True  # a folder without an __init__.py
        file, is_package = Path(spec.origin), spec.submodule_search_locations is not None
        place = module.replace(".", "/") + ("/__init__.py" if is_package else file.suffix)
        if _is_compiled(file.name):
            raise self._compiled(module, place)
        self.files[place] = file
        try:
            source = file.read_text(encoding="utf-8")
            found = list(imports_of(source, module, is_package=is_package, python=RUNTIME_PYTHON))
        except (SyntaxError, UnicodeDecodeError) as error:
            version = ".".join(map(str, RUNTIME_PYTHON))
            raise ConfigurationError(
                f"The bundle cannot be built: {place}, which {self.reader} needs, is not valid "
                f"Python {version}: {error}",
                f"write it for Python {version}, the version of the deployed functions.",
            ) from error
        for one in found:
            self._follow(one, module)
        return True

    def _take_distribution(self, name: str, importer: str) -> None:
        """An installed distribution whole, and those that it requires."""
        # Here, since only what builds a bundle has to wait for its grammar.
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name

        key = f"distribution {canonicalize_name(name)}"
        if canonicalize_name(name) in _RUNTIME_DISTRIBUTIONS or key in self.seen:
            return
        self.seen.add(key)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise ConfigurationError(
                f"The bundle cannot be built: {importer} requires {name}, which is not installed here.",
                f"install {name} into this environment.",
            ) from error
        for place, file in _installed_files(distribution).items():
            if _is_compiled(place):
                raise self._compiled(f"{name} (through {importer})", place)
            self.files[place] = file
        for text in distribution.requires or ():
            required = Requirement(text)
            if required.marker is None or required.marker.evaluate(_RUNTIME_MARKERS):
                self._take_distribution(required.name, name)

    def _missing(self, wanted: Import, module: str, importer: str) -> None:
        if wanted.optional:
            return
        where = f"{importer}, line {wanted.line}," if wanted.line else importer
        raise ConfigurationError(
            f"The bundle cannot be built: {where} imports {module}, which is not installed here; "
            f"{self.reader} needs it.",
            f"install {module.partition('.')[0]} into this environment, or do without it.",
        )

    def _compiled(self, module: str, place: str) -> ConfigurationError:
        return ConfigurationError(
            f"The bundle cannot be built: {self.reader} needs {module}, and {place} in it is compiled code, "
            "made for this machine and not for Lambda's.",
            "use a pure-Python package in its place, or move that work out of the transform.",
        )


# What a requirement's marker is judged by: Lambda, and no extra.
_RUNTIME_MARKERS: Final = {
    "extra": "",
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{RUNTIME_PYTHON[0]}.{RUNTIME_PYTHON[1]}.0",
    "python_version": f"{RUNTIME_PYTHON[0]}.{RUNTIME_PYTHON[1]}",
    "sys_platform": "linux",
}


def _distribution_of(module: str) -> str | None:
    """Name of the installed distribution that holds a module; ``None`` for code in a folder."""
    parts = module.split(".")
    tops = importlib.metadata.packages_distributions().get(parts[0], ())
    for name in sorted(set(tops)):
        places = {PurePosixPath(file).as_posix() for file in importlib.metadata.files(name) or ()}
        # A namespace's top level belongs to many distributions; one of the levels below tells which.
        for depth in range(1, len(parts) + 1):
            base = "/".join(parts[:depth])
            if any(place.startswith((f"{base}.", f"{base}/__init__.")) for place in places):
                return name
    return None


def _installed_files(distribution: importlib.metadata.Distribution) -> dict[str, Path]:
    """Modules and data of a distribution, as they lie in ``site-packages``."""
    files = {}
    for file in distribution.files or ():
        parts = file.parts
        if ".." in parts or any(ignored in (*parts, file.suffix) for ignored in IGNORED_FILES):
            continue  # scripts, and what Python makes by itself
        if parts[0].endswith((".dist-info", ".egg-info")) and parts[-1] not in _METADATA_FILES:
            continue
        if file.as_posix().startswith(_PAGES):
            continue
        path = Path(str(distribution.locate_file(file)))
        if len(parts) > 1 or file.suffix == ".py" or _is_compiled(file.name):
            files[file.as_posix()] = path
    return {place: path for place, path in files.items() if path.is_file()}


def _is_compiled(place: str) -> bool:
    return not _COMPILED.isdisjoint(PurePosixPath(place).suffixes)  # `libx.so.1` too


def _content(place: str, file: Path) -> bytes:
    content = file.read_bytes()
    if PurePosixPath(place).name in _DESCRIBED:  # a page for people, behind the fields that programs read
        return content.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n"
    return content


def _manifest(transforms: Mapping[str, Files]) -> bytes:
    return json.dumps({name: sorted(files) for name, files in sorted(transforms.items())}).encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    total = 0
    with zipfile.ZipFile(buffer, "w") as archive:
        for place, content in sorted(files.items()):
            total += len(content)
            entry = zipfile.ZipInfo(place, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever this machine is
            entry.external_attr = _FILE_MODE
            archive.writestr(entry, content, compresslevel=9)
    if total > UNZIPPED_LIMIT:
        raise ConfigurationError(
            f"The bundle holds {total // 2**20} MB, more than the {UNZIPPED_LIMIT // 2**20} MB of a Lambda.",
            "take large files off transform_files, or use smaller dependencies.",
        )
    return buffer.getvalue()
