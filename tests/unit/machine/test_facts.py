"""Facts files: what is found in them, and what is not one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentlaunch.machine import apple
from agentlaunch.machine.facts import Answer, LiveFacts, RecordedFacts

FAILED = Answer(("nvidia-smi", "--query-gpu=index,name"), 2, "not a valid field to query")
WORKED = Answer(("nvidia-smi.exe", "--query-gpu=name"), 0, "NVIDIA L4")
LISTED = Answer(("/usr/bin/nvidia-smi", "-L"), 0, "GPU 0")


def facts(*commands: Answer) -> RecordedFacts:
    return RecordedFacts("linux", "x86_64", commands)


def test_a_command_is_found_by_purpose() -> None:
    recorded = facts(LISTED, WORKED)
    assert recorded.command(["nvidia-smi", "--query-gpu=uuid", "--format=csv"]) == WORKED
    assert recorded.command(["nvidia-smi", "-L"]) == LISTED
    assert recorded.command(["nvidia-smi"]) is None
    assert recorded.command(["lscpu"]) is None


@pytest.mark.parametrize(
    ("argv", "stdout"),
    [
        (["sysctl", "-n", "hw.ncpu", "hw.memsize"], "8\n17179869184\n"),
        (["sysctl", "hw.ncpu", "hw.memsize"], "hw.ncpu: 8\nhw.memsize: 17179869184\n"),
        (["sysctl", "-a"], "hw.memsize_usable: 5\nhw.memsize: 17179869184\n"),
        (["/usr/sbin/sysctl", "hw.memsize"], "hw.memsize = 17179869184\n"),
    ],
)
def test_a_kernel_value_is_found_however_it_was_asked(argv: list[str], stdout: str) -> None:
    data = {"platform": "darwin", "commands": [{"argv": argv, "stdout": stdout}]}
    facts = RecordedFacts.from_json(json.dumps(data))
    assert apple.memory_bytes(facts) == 17179869184
    assert apple.sysctl(facts, "hw.other") is None


def test_output_of_windows_is_read_as_lines_of_text() -> None:
    wide = "".join(letter + "\0" for letter in "a\r\nb")
    row = {"argv": ["powershell", "x"], "stdout": "\ufeff" + wide, "stderr": None}
    data = {"platform": "windows", "commands": [row], "files": {"/x": "1\r\n"}, "env": {"A": None}}
    facts = RecordedFacts.from_json(json.dumps(data))
    assert facts.command(["powershell", "x"]) == Answer(("powershell", "x"), 0, "a\nb")
    assert facts.file("/x") == "1\n"
    assert facts.env == {}


def test_a_windows_query_is_known_by_its_words_whatever_ran_it() -> None:
    argv = ["pwsh.exe", "-c", "Get-WmiObject win32_videocontroller"]
    facts = RecordedFacts("windows", "x86_64", (Answer(tuple(argv), 0, "{}"),))
    assert facts.command(["powershell", "-Command", "Get-CimInstance Win32_VideoController"])


def test_numbers_may_be_written_with_a_point() -> None:
    values = {"ram_bytes": 17179869184.0, "cores": 1.5, "disk_free_bytes": True}
    facts = RecordedFacts.from_json(json.dumps({"platform": "linux", "values": values}))
    assert facts.values == {"ram_bytes": 17179869184}


def test_the_very_command_goes_before_another_of_its_purpose() -> None:
    assert facts(WORKED, FAILED).command(["nvidia-smi", "--query-gpu=index,name"]) == FAILED


def test_of_two_with_one_purpose_the_one_that_worked_is_found() -> None:
    assert facts(FAILED, WORKED).command(["nvidia-smi", "--query-gpu=uuid"]) == WORKED


@pytest.mark.parametrize(
    "data",
    [
        5,
        [],
        {},
        {"platform": 5},
        {"platform": "linux", "commands": 5},
        {"platform": "linux", "commands": [5]},
        {"platform": "linux", "commands": [{}]},
        {"platform": "linux", "commands": [{"argv": ["x"], "rc": None}]},
        {"platform": "linux", "files": []},
        {"platform": "linux", "env": "x"},
        {"platform": "linux", "values": 1},
    ],
)
def test_what_is_not_a_facts_file_is_refused_with_a_reason(data: object) -> None:
    with pytest.raises(ValueError, match="not a facts file"):
        RecordedFacts.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RecordedFacts.from_json(text)


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    live = LiveFacts(tmp_path)
    assert live.command(["no-such-program-here"]) is None
    assert live.command([str(tmp_path / "neither")]) is None
    assert live.file(str(tmp_path / "nor this")) is None
    assert live.value("unknown") is None


def test_a_live_command_runs_in_the_c_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "say-locale"
    tool.write_text('#!/bin/sh\necho "$LC_ALL"\nexit 3\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert LiveFacts(tmp_path).command(["say-locale"]) == Answer(("say-locale",), 3, "C\n", "")


def test_a_live_command_that_takes_too_long_is_an_answer(tmp_path: Path) -> None:
    tool = tmp_path / "sleeper"
    tool.write_text("#!/bin/sh\nexec sleep 30\n")
    tool.chmod(0o755)
    answer = LiveFacts(tmp_path).command([str(tool)], timeout_s=0.05)
    assert answer is not None
    assert (answer.rc, answer.stdout) == (-1, "")
    assert "0.05 s" in answer.stderr
