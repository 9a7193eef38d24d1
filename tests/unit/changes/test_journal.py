"""The journal: every write can be undone, whoever is killed, whatever is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentlaunch.changes import place
from agentlaunch.changes.edit import Edit, SetKeys, WriteFile
from agentlaunch.changes.entry import Entry
from agentlaunch.changes.journal import Journal, Kept, Restored
from agentlaunch.errors import Refused
from launcher import snapshot

SETTINGS = b'{\r\n\t"theme": "dark", // mine\r\n\t"env": {"KEY": "sk-user"},\r\n}'
VALUES = {("env", "URL"): "http://127.0.0.1:1", ("model",): "ours"}


@pytest.fixture
def user(tmp_path: Path) -> Path:
    (tmp_path / ".tool").mkdir()
    file = tmp_path / ".tool" / "settings.json"
    file.write_bytes(SETTINGS)
    file.chmod(0o640)
    return file


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state", tmp_path)


def keys(file: Path, model: str = "ours") -> tuple[Edit, ...]:
    return (SetKeys(file, "json", {**VALUES, ("model",): model}),)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def no_trace(journal: Journal, *, but: frozenset[str] = frozenset({"holder", "lock"})) -> bool:
    return {path.name for path in journal.folder.glob("*")} <= but


def test_a_change_comes_back_byte_for_byte(journal: Journal, user: Path) -> None:
    journal.apply("a", keys(user))
    assert b'"URL": "http://127.0.0.1:1"' in user.read_bytes()
    assert mode(user) == 0o640
    assert journal.restore() == Restored((user,), ())
    assert (user.read_bytes(), mode(user)) == (SETTINGS, 0o640)
    assert no_trace(journal)
    assert sorted(path.name for path in user.parent.iterdir()) == ["settings.json"]


def test_the_backup_is_the_first_original_for_this_user_alone(journal: Journal, user: Path) -> None:
    journal.apply("a", keys(user))
    journal.apply("a", keys(user, "second"))
    (original,) = journal.folder.glob("*.original")
    assert (original.read_bytes(), mode(original)) == (SETTINGS, 0o600)
    assert {mode(path) for path in journal.folder.glob("*.json")} == {0o600}
    assert mode(journal.folder) == 0o700
    journal.restore()
    assert user.read_bytes() == SETTINGS


def test_the_same_change_twice_writes_once(journal: Journal, user: Path) -> None:
    journal.apply("a", keys(user))
    before = user.stat()
    (again,) = journal.apply("a", keys(user))
    assert not again.changes
    assert (user.stat().st_ino, user.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    journal.restore()
    assert user.read_bytes() == SETTINGS


def test_two_edits_of_one_file_are_one(journal: Journal, user: Path) -> None:
    edits = (SetKeys(user, "json", {("a",): 1}), SetKeys(user, "json", {("b",): 2}))
    (change,) = journal.apply("a", edits)
    assert change.keys == (("a",), ("b",))
    assert not journal.apply("a", edits)[0].changes
    journal.restore()
    assert user.read_bytes() == SETTINGS


def test_a_preview_changes_nothing(journal: Journal, user: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    (change,) = journal.preview("a", keys(user))
    assert (change.before, change.keys) == (SETTINGS, tuple(VALUES))
    assert snapshot(tmp_path) == before


def test_a_new_file_is_private_and_is_removed_with_its_folders(
    journal: Journal, tmp_path: Path
) -> None:
    file = tmp_path / ".config" / "tool" / "c.toml"
    journal.apply(
        "a", (SetKeys(file, "toml", {("a", "b"): 1}), WriteFile(file.with_name("x"), b"x"))
    )
    assert (file.read_text(), mode(file)) == ("[a]\nb = 1\n", 0o600)
    assert (mode(file.parent), mode(file.parent.parent)) == (0o700, 0o700)
    assert len(journal.restore().restored) == 2
    assert not (tmp_path / ".config").exists()


def test_a_new_file_that_the_user_went_on_with_stays(journal: Journal, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    journal.apply("a", (SetKeys(file, "toml", {("a", "b"): 1}),))
    file.write_text("mine = 2\n" + file.read_text())
    assert journal.restore() == Restored((file,), ())
    assert file.read_text() == "mine = 2\n"


def test_a_file_of_ours_that_was_changed_stays_and_is_told(
    journal: Journal, tmp_path: Path
) -> None:
    file = tmp_path / "skill.md"
    journal.apply("a", (WriteFile(file, b"ours"),))
    file.write_text("ours and mine")
    assert journal.restore() == Restored((), (Kept(file, "it was changed since"),))
    assert file.read_text() == "ours and mine"


def test_what_the_user_changed_since_stays_and_is_told(journal: Journal, user: Path) -> None:
    journal.apply("a", keys(user))
    user.write_bytes(user.read_bytes().replace(b'"ours"', b'"his"').replace(b"dark", b"light"))
    assert journal.restore() == Restored((user,), (Kept(user, "`model` was changed since"),))
    assert user.read_bytes() == SETTINGS.replace(b"dark", b"light").replace(
        b'"sk-user"},', b'"sk-user"},\r\n\t"model": "his",'
    )
    assert journal.restore() == Restored((), ())


def test_a_rewrite_by_the_agent_itself_still_gives_the_users_keys_back(
    journal: Journal, tmp_path: Path
) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"model": "opus", "env": {"KEY": "k"}}')
    journal.apply("a", keys(file))
    file.write_text(json.dumps({**json.loads(file.read_text()), "new": 1}, indent=4))
    assert journal.restore() == Restored((file,), ())
    assert json.loads(file.read_text()) == {"model": "opus", "env": {"KEY": "k"}, "new": 1}


def test_a_file_that_the_user_removed_stays_removed(journal: Journal, user: Path) -> None:
    journal.apply("a", keys(user))
    user.unlink()
    (backup,) = journal.folder.glob("*.original")
    reason = f"it was removed since; what it was: {backup}"
    assert journal.restore() == Restored((), (Kept(user, reason, open=True),))
    assert (user.exists(), backup.read_bytes()) == (False, SETTINGS)
    backup.unlink()  # he wants none of it
    assert journal.restore() == Restored((), (Kept(user, "it was removed since"),))
    assert no_trace(journal)


def test_a_file_that_no_longer_parses_is_left_alone_and_stays_open(
    journal: Journal, user: Path
) -> None:
    journal.apply("a", keys(user))
    whole = user.read_bytes()
    user.write_bytes(b'{\n "a" 1}')
    kept = journal.restore().kept
    assert kept == (Kept(user, "line 2, column 6: a `:` is missing", open=True),)
    assert user.read_bytes() == b'{\n "a" 1}'
    user.write_bytes(whole)
    journal.restore()
    assert user.read_bytes() == SETTINGS


def test_an_unparsable_file_is_refused_with_its_place_and_untouched(
    journal: Journal, user: Path, tmp_path: Path
) -> None:
    other = user.with_name("other.json")
    user.write_bytes(b'{\n  "a": 1\n  "b": 2\n}')
    before = snapshot(tmp_path)
    with pytest.raises(Refused, match=r"settings\.json: line 3, column 3: ") as caught:
        journal.apply("a", (*keys(other), *keys(user)))
    assert caught.value.exit_code == 8
    assert {k: v for k, v in snapshot(tmp_path).items() if not k.startswith("state")} == before


def test_agents_are_given_back_one_by_one(journal: Journal, user: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("a: 1\n")
    journal.apply("one", keys(user))
    journal.apply("two", (SetKeys(other, "yaml", {("a",): 2}),))
    assert [(row.agent, row.path) for row in journal.entries()].__len__() == 2
    assert journal.restore("one") == Restored((user,), ())
    assert [row.agent for row in journal.entries()] == ["two"]
    assert other.read_text() == "a: 2\n"


@pytest.mark.parametrize("first", ["one", "two"])
def test_two_agents_in_one_file_come_back_in_either_order(
    journal: Journal, user: Path, first: str
) -> None:
    journal.apply("one", keys(user))
    journal.apply("two", (SetKeys(user, "json", {("theme",): "x"}),))
    journal.restore(first)
    journal.restore()
    assert user.read_bytes() == SETTINGS


# ---- where the file really lies -------------------------------------------------------------


def test_a_link_stays_a_link_and_its_target_is_written(journal: Journal, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "settings.json"
    target.parent.mkdir()
    target.write_bytes(SETTINGS)
    link = tmp_path / "settings.json"
    link.symlink_to("dotfiles/settings.json")
    journal.apply("a", keys(link))
    assert link.is_symlink()
    assert b"URL" in target.read_bytes()
    assert journal.restore() == Restored((link,), ())
    assert (link.is_symlink(), target.read_bytes()) == (True, SETTINGS)


@pytest.mark.parametrize("kind", ["outside", "outside-folder", "dangling", "looping"])
def test_a_link_that_leads_astray_is_refused(
    kind: str, journal: Journal, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "f.json").write_text("{}")
    file = tmp_path / "f.json"
    if kind == "outside":
        file.symlink_to(outside / "f.json")
    elif kind == "outside-folder":
        (tmp_path / "d").symlink_to(outside)
        file = tmp_path / "d" / "f.json"
    else:
        file.symlink_to(file if kind == "looping" else tmp_path / "nowhere")
    with pytest.raises(Refused, match="link"):
        journal.apply("a", keys(file))
    assert (outside / "f.json").read_text() == "{}"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_or_folder_of_another_user_is_refused(
    what: str, journal: Journal, user: Path
) -> None:
    os.chown(user if what == "file" else user.parent, 12345, -1)
    target = user if what == "file" else user.with_name("new.json")
    with pytest.raises(Refused, match="another user"):
        journal.apply("a", keys(target))
    assert user.read_bytes() == SETTINGS


def test_a_read_only_file_and_a_pipe_are_refused(journal: Journal, user: Path) -> None:
    user.chmod(0o444)
    with pytest.raises(Refused, match="read-only"):
        journal.apply("a", keys(user))
    os.mkfifo(user.with_name("pipe"))
    with pytest.raises(Refused, match="no plain file"):
        journal.apply("a", keys(user.with_name("pipe")))


def test_a_whole_file_never_takes_the_place_of_the_users(journal: Journal, user: Path) -> None:
    with pytest.raises(Refused, match="there already"):
        journal.apply("a", (WriteFile(user, b"ours"),))
    assert user.read_bytes() == SETTINGS


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(mask: int, journal: Journal, user: Path) -> None:
    new = user.with_name("new.json")
    old = os.umask(mask)
    try:
        journal.apply("a", (*keys(user), *keys(new)))
        modes = [mode(path) for path in (user, new, *journal.folder.glob("*.original"))]
    finally:
        os.umask(old)
    assert modes == [0o640, 0o600, 0o600]


# ---- others at the same time ------------------------------------------------------------------


def test_a_change_by_another_program_at_that_moment_is_kept(
    journal: Journal, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync, left = os.fsync, [1]

    def fsync(handle: int) -> None:
        real_fsync(handle)
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        if left and name.startswith(str(user.parent) + "/."):  # our own temporary file
            left.pop()
            user.write_bytes(SETTINGS.replace(b"dark", b"light"))

    monkeypatch.setattr(os, "fsync", fsync)
    journal.apply("a", keys(user))
    assert b"light" in user.read_bytes()
    assert b"URL" in user.read_bytes()
    journal.restore()
    assert user.read_bytes() == SETTINGS.replace(b"dark", b"light")


def test_a_file_that_is_written_all_the_time_is_refused(
    journal: Journal, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync, count = os.fsync, [0]

    def fsync(handle: int) -> None:
        real_fsync(handle)
        if str(Path(f"/proc/self/fd/{handle}").readlink()).startswith(str(user.parent) + "/."):
            count[0] += 1
            user.write_bytes(b'{"n": %d}' % count[0])

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Refused, match="same moment"):
        journal.apply("a", keys(user))
    assert user.read_bytes() == b'{"n": 3}'
    assert journal.entries() == ()
    assert sorted(path.name for path in user.parent.iterdir()) == ["settings.json"]


def test_who_waits_for_the_lock_is_told_who_holds_it(journal: Journal, user: Path) -> None:
    impatient = Journal(journal.state, journal.home, lock_s=0.05)
    with journal._locked(), pytest.raises(Refused, match=f"process {os.getpid()}") as caught:
        impatient.apply("a", keys(user))
    assert caught.value.code == "locked"
    assert user.read_bytes() == SETTINGS


APPLY = """
import sys
from pathlib import Path
from agentlaunch.changes.edit import SetKeys
from agentlaunch.changes.journal import Journal
home, agent, key = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
file = home / ".tool" / "settings.json"
Journal(home / "state", home).apply(agent, (SetKeys(file, "json", {("env", key): agent}),))
"""


def test_many_at_once_lose_nothing(journal: Journal, user: Path, tmp_path: Path) -> None:
    names = [f"agent{n}" for n in range(6)]
    runs = [
        subprocess.Popen([sys.executable, "-c", APPLY, str(tmp_path), name, name.upper()])
        for name in names
    ]
    assert [run.wait(60) for run in runs] == [0] * len(runs)
    assert all(f'"{name.upper()}": "{name}"'.encode() in user.read_bytes() for name in names)
    journal.restore()
    assert user.read_bytes() == SETTINGS


def test_two_threads_at_once_lose_nothing(journal: Journal, user: Path) -> None:
    threads = [
        threading.Thread(
            target=journal.apply, args=(name, (SetKeys(user, "json", {("env", name): 1}),))
        )
        for name in ("x", "y")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.entries()) == 2
    journal.restore()
    assert user.read_bytes() == SETTINGS


# ---- kill -9, and a full disk -------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from agentlaunch.changes.edit import SetKeys, WriteFile
from agentlaunch.changes.journal import Journal
import filelock, tempfile, hashlib, json, agentlaunch.changes.jsonc  # imports are no steps

home, job, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
steps = 0

def step(half=None):
    global steps
    steps += 1
    if steps == last:
        if half: half()
        os.kill(os.getpid(), signal.SIGKILL)

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"}

def hook(event, args):
    opens = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if event in CHANGES or opens:
        step()

sys.addaudithook(hook)
real_write, real_fsync, real_fchmod = os.write, os.fsync, os.fchmod

def write(handle, data):
    step(lambda: real_write(handle, bytes(data)[: len(data) // 2]))
    return real_write(handle, data)

def fsync(handle):
    step()
    real_fsync(handle)
    step()

def fchmod(handle, mode):
    step()
    real_fchmod(handle, mode)

os.write, os.fsync, os.fchmod = write, fsync, fchmod
tool = home / ".tool"
journal = Journal(home / "state", home)
edits = (
    SetKeys(tool / "settings.json", "json", {("env", "URL"): "u", ("model",): "second"}),
    SetKeys(tool / "new" / "c.toml", "toml", {("a", "b"): 1}),
    WriteFile(tool / "skill.md", b"ours"),
)
if job == "apply":
    journal.apply("a", edits)
else:
    journal.restore("a")
print(steps)
"""


def killed(home: Path, job: str, step: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(home), job, str(step)],
        capture_output=True,
        text=True,
        check=False,
    )


def steps_of(home: Path, job: str) -> int:
    done = killed(home, job, 0)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def files_of(home: Path) -> dict[str, bytes]:
    return {k: v for k, v in snapshot(home).items() if not k.startswith("state")}


@pytest.mark.parametrize("before", ["nothing", "an earlier change"])
def test_killed_at_any_step_of_a_change_the_next_run_repairs(before: str, tmp_path: Path) -> None:
    def fresh(name: str) -> tuple[Path, Journal]:
        home = tmp_path / name
        (home / ".tool").mkdir(parents=True)
        (home / ".tool" / "settings.json").write_bytes(SETTINGS)
        journal = Journal(home / "state", home)
        if before == "an earlier change":
            journal.apply("a", keys(home / ".tool" / "settings.json"))
        return home, journal

    count = steps_of(fresh("dry")[0], "apply")
    assert count > 30
    for step in range(1, count + 1):
        home, journal = fresh(str(step))
        settings = home / ".tool" / "settings.json"
        whole = {SETTINGS, settings.read_bytes()}
        assert killed(home, "apply", step).returncode == -signal.SIGKILL, step
        after = settings.read_bytes()
        assert after in whole or b'"second"' in after, step  # old or new, never half
        assert after.endswith(b"}")
        kept = journal.restore()
        assert kept.kept == (), step
        assert files_of(home) == {".tool/settings.json": SETTINGS}, step
        assert no_trace(journal), step
        assert not (home / ".tool" / "new").exists(), step


def test_killed_at_any_step_and_run_again_the_change_is_made(tmp_path: Path) -> None:
    count = None
    step = 0
    while count is None or step < count:
        step += 7  # the next run goes on from any of them; each is gone through above
        home = tmp_path / str(step)
        (home / ".tool").mkdir(parents=True)
        (home / ".tool" / "settings.json").write_bytes(SETTINGS)
        killed(home, "apply", step)
        second = steps_of(home, "apply")
        count = count or second
        assert b'"second"' in (home / ".tool" / "settings.json").read_bytes()
        assert sorted(files_of(home)) == [
            ".tool/new/c.toml", ".tool/settings.json", ".tool/skill.md",
        ]  # fmt: skip
        Journal(home / "state", home).restore()
        assert files_of(home) == {".tool/settings.json": SETTINGS}


def test_killed_at_any_step_of_a_restore_the_next_one_finishes(tmp_path: Path) -> None:
    def fresh(name: str) -> tuple[Path, Journal]:
        home = tmp_path / name
        (home / ".tool").mkdir(parents=True)
        (home / ".tool" / "settings.json").write_bytes(SETTINGS)
        assert killed(home, "apply", 0).returncode == 0
        return home, Journal(home / "state", home)

    count = steps_of(fresh("dry")[0], "restore")
    assert count > 10
    for step in range(1, count + 1):
        home, journal = fresh(str(step))
        assert killed(home, "restore", step).returncode == -signal.SIGKILL, step
        assert journal.restore().kept == (), step
        assert files_of(home) == {".tool/settings.json": SETTINGS}, step
        assert no_trace(journal), step


def test_a_full_disk_leaves_the_old_file_whole(journal: Journal, user: Path) -> None:
    large = b'{"x": "' + b"y" * 100_000 + b'"}'
    user.write_bytes(large)
    small = user.with_name("a.json")
    small.write_bytes(SETTINGS)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (journal.folder).mkdir(parents=True, mode=0o700)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
    try:
        with pytest.raises(OSError, match="large"):
            journal.apply("a", (*keys(small), *keys(user)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert (user.read_bytes(), small.read_bytes()) == (large, SETTINGS)
    assert journal.entries() == ()
    assert sorted(path.name for path in user.parent.iterdir()) == ["a.json", "settings.json"]
    journal.apply("a", keys(user))
    journal.restore()
    assert user.read_bytes() == large
    assert no_trace(journal)


def test_an_entry_that_cannot_be_understood_is_told_with_the_place_of_the_original(
    journal: Journal, user: Path
) -> None:
    other = user.with_name("other.json")
    journal.apply("a", keys(user))
    (entry,) = journal.folder.glob("*.json")
    journal.apply("a", keys(other))
    ours = user.read_bytes()
    entry.write_text("{")
    with pytest.raises(Refused, match=entry.name) as caught:
        journal.apply("a", keys(user))
    assert ".original" in (caught.value.hint or "")
    done = journal.restore()
    assert (done.restored, [row.path for row in done.kept]) == ((other,), [entry])
    assert user.read_bytes() == ours
    assert entry.with_suffix(".original").read_bytes() == SETTINGS


def test_leftovers_of_others_are_not_touched(journal: Journal, user: Path) -> None:
    theirs = user.with_name(".agentlaunch-notes")
    theirs.write_text("mine")
    journal.apply("a", keys(user))
    journal.restore()
    assert theirs.read_text() == "mine"


def test_no_folder_of_ours_is_made_by_looking(journal: Journal) -> None:
    assert (journal.entries(), journal.restore(), journal.state.exists()) == (
        (), Restored((), ()), False,
    )  # fmt: skip


def test_a_relative_place_is_refused(journal: Journal) -> None:
    with pytest.raises(Refused, match="not known"):
        place.resolve(Path("x.json"), journal.home)


def test_a_value_of_the_users_that_cannot_come_back_keeps_its_backup(
    journal: Journal, user: Path
) -> None:
    user.write_text('{"rows": ["his"]}')
    journal.apply("a", (SetKeys(user, "json", {("rows",): ["ours"]}),))
    user.write_text('{"rows": ["ours", "second"]}')
    (backup,) = journal.folder.glob("*.original")
    reason = f"`rows` was changed since; your own value is in {backup}"
    for _again in range(2):
        assert journal.restore() == Restored((), (Kept(user, reason, open=True),))
        assert backup.read_text() == '{"rows": ["his"]}'
        assert [row.named for row in journal.entries()] == [user]
    user.write_text('{"rows": ["his"]}')
    assert journal.restore() == Restored((user,), ())
    assert no_trace(journal)


def test_an_agent_under_another_one_is_given_back_after_it(journal: Journal, user: Path) -> None:
    journal.apply("one", keys(user, "first"))
    journal.apply("two", keys(user, "second"))
    reason = "two was configured there later: first `agentlaunch restore two`"
    assert journal.restore("one") == Restored((), (Kept(user, reason, open=True),))
    assert journal.restore("two") == Restored((user,), ())
    assert journal.restore("one") == Restored((user,), ())
    assert user.read_bytes() == SETTINGS


def test_who_removes_the_backup_lets_go_of_it(journal: Journal, user: Path) -> None:
    user.write_text('{"rows": ["his"]}')
    journal.apply("a", (SetKeys(user, "json", {("rows",): ["ours"]}),))
    user.write_text('{"rows": ["second"]}')
    next(journal.folder.glob("*.original")).unlink()
    assert journal.restore() == Restored((), (Kept(user, "`rows` was changed since"),))
    assert no_trace(journal)


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    journal: Journal, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / ".tool" / "other.json"
    other.write_text("{}")
    journal.apply("a", (*keys(user), SetKeys(other, "json", {("x",): 1})))
    real_read = place.read

    def read(path: Path) -> bytes | None:
        if path == other:
            raise OSError(5, "Input/output error")
        return real_read(path)

    monkeypatch.setattr(place, "read", read)
    assert journal.restore() == Restored((user,), (Kept(other, "Input/output error", open=True),))
    assert user.read_bytes() == SETTINGS


def test_a_broken_entry_does_not_fail_the_restore_of_another_agent(
    journal: Journal, user: Path
) -> None:
    journal.apply("a", keys(user))
    broken = journal.folder / "0.json"
    broken.write_text('{"agent": "b"}')
    assert [row.open for row in journal.restore("a").kept] == [False]
    assert [row.open for row in journal.restore("b").kept] == [True]


def test_a_write_that_cannot_be_entered_is_taken_back(
    journal: Journal, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Journal._save

    def full(self: Journal, path: Path, entry: Entry) -> None:
        if entry.done is not None:
            raise OSError(28, "No space left on device")
        save(self, path, entry)

    monkeypatch.setattr(Journal, "_save", full)
    with pytest.raises(OSError, match="No space"):
        journal.apply("a", keys(user))
    assert user.read_bytes() == SETTINGS
    assert journal.entries() == ()
