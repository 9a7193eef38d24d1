"""Managed environments: real npm-like and real pip installs, crashes, waits and plain errors."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agentlaunch import managed, process
from agentlaunch.errors import AgentlaunchError, NotSupported, Refused
from agentlaunch.managed import Installed, Package
from agentlaunch.progress import Progress, finish
from agentlaunch.settings import Paths

TOOL = Package(
    kind="npm",
    name="@scope/tool",
    version="1.2.3",
    size_bytes=1000,
    download_bytes=500,
    source="npm: @scope/tool 1.2.3",
    programs=(("tool", "node_modules/@scope/tool/bin/tool"),),
    min_node=(18, 0),
    run_scripts=True,
)
KEY = "@scope+tool@1.2.3"

# What npm is asked to do, done by a shell script: it notes how it was called, then "installs".
NPM = """#!/bin/sh
for word in "$@"; do case "$word" in --prefix=*) prefix="${word#--prefix=}";; esac; done
echo "$@" >> "$FAKE_NOTES/argv"
env > "$FAKE_NOTES/env"
mkdir -p "$prefix/node_modules/@scope/tool/bin" "$npm_config_cache"
echo half > "$prefix/node_modules/@scope/tool/half"
%s
echo '#!/bin/sh' > "$prefix/node_modules/@scope/tool/bin/tool"
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(*(tmp_path / name for name in ("config", "data", "state", "cache", "run")))


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put `node` and `npm` of ours on PATH; gives the folder where npm notes its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("FAKE_NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def build(body: str = "", *, node: str = "v20.20.2") -> Path:
        for name, text in (("node", f"#!/bin/sh\necho {node}\n"), ("npm", NPM % body)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return tmp_path / "notes"

    return build


def folder_names(paths: Paths, kind: str = "npm") -> list[str]:
    """What lies in the folder of a kind, but for its lock files."""
    names = [path.name for path in (paths.managed / kind).iterdir()]
    return sorted(name for name in names if not name.endswith(".lock"))


def error_of(package: Package, paths: Paths) -> AgentlaunchError:
    with pytest.raises(AgentlaunchError) as caught:
        finish(managed.install(package, paths))
    assert managed.installed(package, paths) is None
    assert folder_names(paths, package.kind) == []
    assert "\n" not in caught.value.message
    return caught.value


# --- npm ---------------------------------------------------------------------------------------


def test_an_npm_package_lies_in_its_own_prefix(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    notes = fake_npm()
    root = finish(managed.install(TOOL, paths))
    assert root == paths.managed / "npm" / KEY
    assert managed.installed(TOOL, paths) == root
    assert managed.program(TOOL, "tool", paths) == root / "node_modules/@scope/tool/bin/tool"
    assert folder_names(paths) == [KEY]
    (entry,) = managed.installed_all(paths)
    assert entry == Installed("npm", "@scope/tool", "1.2.3", root, entry.size_bytes, True)
    assert entry.size_bytes > 0
    (argv,) = (notes / "argv").read_text().splitlines()
    assert argv.startswith("install @scope/tool@1.2.3 --prefix=")
    assert "--global=false" in argv
    assert "--ignore-scripts=false" in argv


def test_npm_uses_our_cache_and_the_users_own_settings(
    paths: Paths, fake_npm: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://mirror.example")
    monkeypatch.setenv("NPM_CONFIG_PREFIX", "/somewhere/else")
    monkeypatch.setenv("npm_config_local_prefix", "/a/project")
    notes = fake_npm()
    finish(managed.install(TOOL, paths))
    env = dict(line.partition("=")[::2] for line in (notes / "env").read_text().splitlines())
    assert env["npm_config_registry"] == "http://mirror.example"
    assert env["npm_config_cache"] == str(paths.cache / "npm")
    assert (env["npm_config_audit"], env["npm_config_fund"]) == ("false", "false")
    assert (env["npm_config_update_notifier"], env["npm_config_logs_max"]) == ("false", "0")
    assert "NPM_CONFIG_PREFIX" not in env
    assert "npm_config_local_prefix" not in env


def test_install_scripts_run_only_where_the_package_needs_them(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    notes = fake_npm()
    finish(managed.install(replace(TOOL, run_scripts=False), paths))
    assert "--ignore-scripts=true" in (notes / "argv").read_text()


def test_a_second_install_finds_the_first(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    notes = fake_npm()
    first = finish(managed.install(TOOL, paths))
    assert finish(managed.install(TOOL, paths, offline=True)) == first
    assert len((notes / "argv").read_text().splitlines()) == 1


def test_two_installs_at_once_build_it_once(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    notes = fake_npm("sleep 0.6")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(lambda: list(managed.install(TOOL, paths))) for _run in range(2)]
        said = {report.activity for run in runs for report in run.result()}
    assert said == {
        "installing @scope/tool 1.2.3",
        "waiting for another agentlaunch that is installing @scope/tool",
    }
    assert len((notes / "argv").read_text().splitlines()) == 1
    assert folder_names(paths) == [KEY]


def test_progress_is_read_off_the_disk(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm('head -c 700 /dev/zero > "$prefix/part"\nsleep 0.5')
    reports = list(managed.install(TOOL, paths))
    assert all(
        report == Progress("installing @scope/tool 1.2.3", report.done_bytes, 1500)
        for report in reports
    )
    sizes = [report.done_bytes or 0 for report in reports]
    assert max(sizes) >= 700
    assert sizes == sorted(sizes)


def test_offline_nothing_is_installed(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm()
    with pytest.raises(NotSupported, match="nothing is installed offline"):
        finish(managed.install(TOOL, paths, offline=True))
    assert not paths.managed.exists()


# --- Node.js -----------------------------------------------------------------------------------


def test_a_missing_node_is_said_with_the_way_out(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    error = error_of(TOOL, paths)
    assert (error.exit_code, error.code) == (1, "node-missing")
    assert error.message == (
        "Node.js >= 18 with npm is needed to install @scope/tool, Node.js was not found"
    )
    assert "https://nodejs.org" in (error.hint or "")


def test_a_node_without_npm_is_said(
    paths: Paths, fake_npm: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm()
    (tmp_path / "bin" / "npm").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert error_of(TOOL, paths).message.endswith("its `npm` was not found")


def test_a_node_that_is_too_old_is_said(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm(node="v16.20.1")
    error = error_of(TOOL, paths)
    assert (error.exit_code, error.code) == (1, "node-too-old")
    assert "Node.js >= 18 is needed to install @scope/tool, found 16.20 at" in error.message


# --- failures ----------------------------------------------------------------------------------

# Recorded from npm 11.19.
UNREACHABLE = """npm error code ENOTFOUND
npm error syscall getaddrinfo
npm error errno ENOTFOUND
npm error network request to http://nowhere.invalid/x failed, reason: getaddrinfo ENOTFOUND
npm error network This is a problem related to network connectivity.
npm error network In most cases you are behind a proxy or have bad network settings.
npm error network
npm error network If you are behind a proxy, please make sure that the 'proxy' config is set
npm error Log files were not written due to the config logs-max=0"""
REFUSED = """npm error code ECONNREFUSED
npm error syscall connect
npm error errno ECONNREFUSED
npm error FetchError: request to http://127.0.0.1:9/x failed, reason: connect ECONNREFUSED
npm error     at ClientRequest.<anonymous> (/usr/lib/index.js:130:14)
npm error   code: 'ECONNREFUSED',
npm error }
npm error
npm error If you are behind a proxy, please make sure that the 'proxy' config is set properly."""
NO_VERSION = """npm error code ETARGET
npm error notarget No matching version found for @scope/tool@1.2.3.
npm error notarget In most cases you or one of your dependencies are requesting a package version
npm error Log files were not written due to the config logs-max=0"""
NO_SPACE = """npm error code ENOSPC
npm error syscall write
npm error errno -28
npm error nospc ENOSPC: no space left on device, write"""
SCRIPT = """npm error code 1
npm error path /x/node_modules/@scope/tool
npm error command failed
npm error command sh -c node install.cjs
npm error Error: no binary for this platform"""


@pytest.mark.parametrize(
    ("written", "code", "why"),
    [
        (UNREACHABLE, "registry-unreachable", "request to http://nowhere.invalid/x failed"),
        (REFUSED, "registry-unreachable", "FetchError: request to http://127.0.0.1:9/x failed"),
        (NO_VERSION, "package-not-found", "(No matching version found for @scope/tool@1.2.3.)"),
        (NO_SPACE, "no-space", "not enough disk space for @scope/tool"),
        (SCRIPT, "install-failed", "Error: no binary for this platform"),
        ("npm error code EINTEGRITY", "hash-mismatch", "something else than what was published"),
        ("npm error code CERT_HAS_EXPIRED", "registry-tls", "secure connection"),
        ("", "install-failed", "it said nothing"),
    ],
)
def test_a_failure_of_npm_is_one_line_with_its_cause(
    paths: Paths, fake_npm: Callable[..., Path], written: str, code: str, why: str
) -> None:
    fake_npm(f"cat >&2 <<'END'\n{written}\nEND\nexit 1")
    error = error_of(TOOL, paths)
    assert (error.exit_code, error.code) == (1, code)
    assert why in error.message
    assert "proxy" not in error.message
    assert len(error.message) < 450
    assert error.hint


def test_too_little_disk_is_seen_before_anything_is_fetched(
    paths: Paths, fake_npm: Callable[..., Path], mocker: MockerFixture
) -> None:
    notes = fake_npm()
    mocker.patch("agentlaunch.files.shutil.disk_usage", return_value=mocker.Mock(free=1_000_000))
    error = error_of(replace(TOOL, size_bytes=2_000_000), paths)
    assert (error.exit_code, error.code) == (1, "no-space")
    assert "it takes 2 MB, 1 MB are free at" in error.message
    assert not (notes / "argv").exists()


def test_a_package_without_its_program_is_not_kept(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    fake_npm("exit 0")
    error = error_of(TOOL, paths)
    assert error.code == "install-incomplete"
    assert "has no tool for this system" in error.message


# --- crashes -----------------------------------------------------------------------------------

INSTALL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_managed
from agentlaunch import managed
from agentlaunch.settings import Paths
for report in managed.install(test_managed.TOOL, Paths(*map(Path, sys.argv[2:]))):
    print(report.done_bytes, flush=True)
"""


def start_install(paths: Paths) -> subprocess.Popen[bytes]:
    places = [paths.config, paths.data, paths.state, paths.cache, paths.runtime]
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", INSTALL, here, *map(str, places)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_what_a_killed_install_left_is_swept_by_the_next(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    notes = fake_npm('echo $$ > "$FAKE_NOTES/pid"\nsleep 60')
    first = start_install(paths)
    wait_for(notes / "pid")
    assert first.stdout is not None
    first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (leftover,) = managed.installed_all(paths)
    assert (leftover.name, leftover.version, leftover.complete) == ("@scope/tool", "1.2.3", False)
    assert leftover.size_bytes > 0
    assert managed.installed(TOOL, paths) is None
    fake_npm()
    finish(managed.install(TOOL, paths))
    assert folder_names(paths) == [KEY]
    wait_until_gone(int((notes / "pid").read_text()))


def wait_until_gone(pid: int) -> None:
    """A killed process needs a moment to be gone."""
    limit = time.monotonic() + 30
    while process.identity(pid) is not None:
        assert time.monotonic() < limit, f"process {pid} still runs"
        time.sleep(0.02)


def test_an_interrupted_install_leaves_nothing_behind(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    notes = fake_npm('echo $$ > "$FAKE_NOTES/pid"\nsleep 60')
    first = start_install(paths)
    wait_for(notes / "pid")
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert folder_names(paths) == []
    wait_until_gone(int((notes / "pid").read_text()))


def test_a_damaged_environment_is_built_again(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm()
    root = finish(managed.install(TOOL, paths))
    shutil.rmtree(root / "node_modules")
    assert managed.installed(TOOL, paths) is None
    assert managed.program(TOOL, "tool", paths) is None
    assert finish(managed.install(TOOL, paths)) == root
    assert managed.installed(TOOL, paths) == root
    assert folder_names(paths) == [KEY]


def test_an_environment_and_a_leftover_are_removed(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    fake_npm()
    root = finish(managed.install(TOOL, paths))
    (root.parent / f".installing-{KEY}-abcd" / "env").mkdir(parents=True)
    found = managed.installed_all(paths)
    assert sorted(entry.complete for entry in found) == [False, True]
    for entry in found:
        managed.remove(entry)
    assert folder_names(paths) == []
    assert managed.installed_all(paths) == ()


def test_a_running_install_is_not_removed(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm("sleep 60")
    work = managed.install(TOOL, paths)
    next(work)
    (entry,) = managed.installed_all(paths)
    with pytest.raises(Refused, match="busy with installing"):
        managed.remove(entry)
    work.close()
    assert folder_names(paths) == []


# --- PyPI --------------------------------------------------------------------------------------


def make_wheel(folder: Path, name: str = "tinytool", version: str = "1.0") -> str:
    """A real wheel with a console script; gives its sha256."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": "import sys\ndef main(): print('hello from', sys.prefix)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Requires-Dist: not-there-at-all\n",
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
