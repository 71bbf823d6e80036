"""The lines that run a bundle on each platform, to be copied. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from ddbverify.spark.bundle import ARCHIVE, LAUNCHER, WHEELS, Bundle

_PYTHON: Final = "./environment/bin/python"

_ARGUMENTS: Final = ("diff", "SOURCE", "TARGET", "--engine", "spark", "--format", "jsonl")

GLUES: Final = {"5.1": "3.11", "6.0": "3.13"}
"""Version of Glue -> of its Python."""


def lines_of(bundle: Bundle, place: str) -> dict[str, str]:
    """
    What to run, by platform.

    Args:
        bundle: As it was made.
        place: Where its files will lie, such as ``s3://bucket/ddbverify``.
    """
    place = place.rstrip("/")
    copy = f"aws s3 cp --recursive {bundle.folder} {place} --exclude 'wheels/*'"
    lines = {
        "copy it first": copy,
        "EMR Serverless": _emr_serverless(place),
        "EMR": _emr(place),
        "spark-submit": _spark_submit(bundle),
    }
    for version, python in GLUES.items():
        if python == bundle.python and bundle.machine == "x86_64":
            lines[f"Glue {version}"] = _glue(place, version)
    return lines


def _emr_serverless(place: str) -> str:
    settings = {
        "spark.archives": f"{place}/{ARCHIVE}#environment",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": _PYTHON,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": _PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": _PYTHON,
    }
    driver = {
        "sparkSubmit": {
            "entryPoint": f"{place}/{LAUNCHER}",
            "entryPointArguments": list(_ARGUMENTS),
            "sparkSubmitParameters": _conf(settings),
        }
    }
    return (
        "aws emr-serverless start-job-run --application-id APPLICATION --execution-role-arn ROLE "
        f"--job-driver '{json.dumps(driver)}'"
    )


def _emr(place: str) -> str:
    settings = {
        "spark.yarn.appMasterEnv.PYSPARK_DRIVER_PYTHON": _PYTHON,
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": _PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": _PYTHON,
    }
    return (
        f"spark-submit --master yarn --deploy-mode cluster --archives {place}/{ARCHIVE}#environment "
        f"{_conf(settings)} {place}/{LAUNCHER} {_words(_ARGUMENTS)}"
    )


def _spark_submit(bundle: Bundle) -> str:
    """On a cluster whose machines unpack archives; the driver runs here, from a copy of its own."""
    unpacked = bundle.folder / "environment"
    settings = {"spark.executorEnv.PYSPARK_PYTHON": _PYTHON, "spark.pyspark.python": _PYTHON}
    return (
        f"mkdir -p {unpacked} && tar -xzf {bundle.folder / ARCHIVE} -C {unpacked} && "
        f"PYSPARK_DRIVER_PYTHON={unpacked}/bin/python spark-submit --master MASTER "
        f"--archives {bundle.folder / ARCHIVE}#environment {_conf(settings)} "
        f"{bundle.folder / LAUNCHER} {_words(_ARGUMENTS)}"
    )


def _glue(place: str, version: str) -> str:
    arguments = {
        "--additional-python-modules": f"{place}/{WHEELS}",
        "--python-modules-installer-option": "--no-index",
        "--ddbverify": _words(_ARGUMENTS),
    }
    command = {"Name": "glueetl", "PythonVersion": "3", "ScriptLocation": f"{place}/{LAUNCHER}"}
    return (
        f"aws glue create-job --name ddbverify --role ROLE --glue-version {version} "
        f"--worker-type G.1X --number-of-workers 10 --command '{json.dumps(command)}' "
        f"--default-arguments '{json.dumps(arguments)}'"
    )


def _conf(settings: dict[str, str]) -> str:
    return " ".join(f"--conf {name}={value}" for name, value in settings.items())


def _words(arguments: Sequence[str]) -> str:
    return " ".join(arguments)
