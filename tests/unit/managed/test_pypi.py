"""PyPI: a real environment with a real wheel, by this Python's venv and pip, else by uv."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agentlaunch import managed, process
from agentlaunch.managed import Package
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from managed_tool import error_of, folder_names


def make_wheel(
    folder: Path, name: str = "tinytool", version: str = "1.0", needs: str = "not-there-at-all"
) -> str:
    """A real wheel with a console script; gives its sha256."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": "import sys\ndef main(): print('hello from', sys.prefix)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(
        f"{path},sha256={_record_hash(text)},{len(text)}\n" for path, text in members.items()
    )
    members[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in members.items():
            archive.writestr(path, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _record_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def tinytool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A package that pip finds in a folder: no network."""
    digest = make_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    return Package(
        kind="pypi",
        name="tinytool",
        version="1.0",
        size_bytes=20_000_000,
        download_bytes=None,
        source="PyPI: tinytool 1.0",
        programs=(("python", "bin/python"), ("tinytool", "bin/tinytool")),
        hashes=(digest, "0" * 64),
    )


def test_a_pypi_package_lies_in_its_own_environment_and_its_script_runs(
    paths: Paths, tinytool: Package, tmp_path: Path
) -> None:
    root = finish(managed.install(tinytool, paths))
    script = managed.program(tinytool, "tinytool", paths)
    assert script == root / "bin" / "tinytool"
    done = process.run([str(script)], timeout_s=20)
    assert (done.rc, done.stdout, done.stderr) == (0, f"hello from {root}\n", "")
    assert folder_names(paths, "pypi") == ["tinytool@1.0"]
    assert not (tmp_path / "elsewhere").exists()
    manifest = json.loads((root / managed.MANIFEST).read_text())
    assert (manifest["kind"], manifest["version"]) == ("pypi", "1.0")


def test_a_wheel_with_another_digest_is_refused(paths: Paths, tinytool: Package) -> None:
    error = error_of(replace(tinytool, hashes=("1" * 64,)), paths)
    assert (error.exit_code, error.code) == (1, "hash-mismatch")
    assert "something else than what was published" in error.message


def test_a_python_without_venv_names_the_way_out(
    paths: Paths, tinytool: Package, tmp_path: Path, mocker: MockerFixture
) -> None:
    lacking = tmp_path / "python-without-venv"
    lacking.write_text("#!/bin/sh\necho 'because ensurepip is not available.'\nexit 1\n")
    lacking.chmod(0o755)
    mocker.patch("sys.executable", str(lacking))
    mocker.patch.dict(os.environ, {"PATH": str(tmp_path)})
    error = error_of(tinytool, paths)
    assert error.code == "venv-missing"
    assert "apt install python3-venv" in (error.hint or "")
    assert "uv" in (error.hint or "")


def test_uv_steps_in_where_this_python_cannot_make_environments(
    paths: Paths, tinytool: Package, tmp_path: Path, mocker: MockerFixture
) -> None:
    lacking = tmp_path / "python-without-venv"
    lacking.write_text("#!/bin/sh\necho 'No module named venv'\nexit 1\n")
    lacking.chmod(0o755)
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(
        '#!/bin/sh\necho "$@" >> "$0.log"\n'
        'if [ "$1" = venv ]; then for p in "$@"; do :; done; mkdir -p "$p/bin"; fi\n'
        'if [ "$1" = pip ]; then touch "$4" "${4%python}tinytool"; fi\n'
    )
    uv.chmod(0o755)
    mocker.patch("sys.executable", str(lacking))
    mocker.patch.dict(os.environ, {"PATH": f"{uv.parent}:{os.environ['PATH']}"})
    finish(managed.install(tinytool, paths))
    first, second = (tmp_path / "bin" / "uv.log").read_text().splitlines()
    assert first.startswith(f"venv --python {lacking} ")
    assert second.startswith("pip install --python ")
    assert "--no-deps --require-hashes --only-binary=:all: -r " in second


def test_what_it_needs_beside_it_is_installed_with_it(
    paths: Paths, tinytool: Package, tmp_path: Path
) -> None:
    make_wheel(tmp_path / "wheels", "second", "2.0", needs="")
    make_wheel(tmp_path / "wheels", "third", "3.0", needs="")
    package = replace(tinytool, name="second", version="2.0", hashes=(), extra=("third==3.0",),
                      programs=(("second", "bin/second"), ("third", "bin/third")))  # fmt: skip
    root = finish(managed.install(package, paths))
    done = process.run([str(root / "bin" / "third")], timeout_s=20)
    assert done.stdout == f"hello from {root}\n"


def test_what_is_published_as_source_alone_is_built_where_the_package_says_so(
    paths: Paths, tinytool: Package, tmp_path: Path
) -> None:
    (tmp_path / "wheels" / "second-2.0.tar.gz").write_bytes(b"no archive")
    package = replace(tinytool, name="second", version="2.0", hashes=())
    assert error_of(package, paths).code == "package-not-found"
    built = error_of(replace(package, from_source=("second",)), paths)
    assert built.code == "install-failed"


def test_a_python_of_its_own_choice_makes_the_environment(paths: Paths, tinytool: Package) -> None:
    error = error_of(replace(tinytool, python=">=3.97"), paths)
    assert error.code == "python-missing"
