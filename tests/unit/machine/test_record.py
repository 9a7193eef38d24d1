"""What is written down of a machine: all that a probe asked, and nothing that tells whose it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agentlaunch.machine import probe
from agentlaunch.machine.facts import Answer, LiveFacts, RecordedFacts
from agentlaunch.machine.record import record
from agentlaunch.machine.scrub import Scrubber

MACHINES = Path(__file__).parents[2] / "data" / "machines"
RECORDED = sorted(
    path.stem for path in MACHINES.glob("*.json") if not path.stem.endswith(".expected")
)
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total,memory.free")


def recorded(name: str) -> RecordedFacts:
    return RecordedFacts.from_json((MACHINES / f"{name}.json").read_bytes())


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_is_the_same_machine(name: str) -> None:
    facts = recorded(name)
    written = record(facts)
    again = RecordedFacts.from_json(json.dumps(written))
    assert probe.probe(again) == probe.probe(facts)
    assert record(again) == written


def test_a_recording_of_this_machine_is_the_same_machine_and_names_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        "echo '0, GPU-5a1c2b3d-0001-4002-8003-abcdefabcdef, NVIDIA L4, 23034, 22000, 9, 8.9,"
        " 580.95.05, 6251, [N/A]'\necho 'from quentin at lapdog in /home/quentin' >&2\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("USER", "quentin")
    monkeypatch.setenv("HOSTNAME", "lapdog.example.org")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5a1c")
    monkeypatch.setenv("A_SECRET", "sesame")
    written = record(LiveFacts(tmp_path, platform="linux"))
    text = json.dumps(written)
    assert written["env"] == {"CUDA_VISIBLE_DEVICES": "GPU-0000"}
    for private in ("quentin", "lapdog", "5a1c", "sesame", str(tmp_path)):
        assert private not in text
    assert [gpu.name for gpu in probe.probe(RecordedFacts.from_json(text)).gpus] == ["NVIDIA L4"]


@pytest.mark.parametrize("visible", ["GPU-2222", "GPU-2", "GPU-22222222-bbbb", "GPU-3"])
def test_a_card_chosen_by_its_id_stays_chosen(visible: str) -> None:
    facts = replace(
        recorded("two-rtx-3090-visible-uuid"), env={"CUDA_VISIBLE_DEVICES": visible, "OTHER": "x"}
    )
    written = record(facts)
    assert probe.probe(RecordedFacts.from_json(json.dumps(written))) == probe.probe(facts)
    assert "11111111-aaaa" not in json.dumps(written)
    assert "22222222" not in json.dumps(written)
    assert list(written["env"]) == ["CUDA_VISIBLE_DEVICES"]


def test_a_group_named_after_a_user_and_a_container_is_found_again() -> None:
    pod = "pod12345678_1234_1234_1234_123456789abc"
    group = f"/kubepods/{pod}/{'ab12' * 16}/quentin.slice"
    facts = RecordedFacts(
        "linux",
        "x86_64",
        files={
            "/proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 9000000 kB\n",
            "/proc/self/cgroup": f"0::{group}\n",
            f"/sys/fs/cgroup{group}/memory.max": "4294967296\n",
            f"/sys/fs/cgroup{group}/memory.current": "1000\n",
        },
        env={"USER": "quentin"},
    )
    written = record(facts)
    text = json.dumps(written)
    assert probe.probe(RecordedFacts.from_json(text)) == probe.probe(facts)
    assert probe.probe(facts).ram_limit_bytes == 4294967296
    for private in ("quentin", "ab12", "12345678"):
        assert private not in text


def test_only_what_was_asked_is_written() -> None:
    facts = RecordedFacts(
        "linux",
        "x86_64",
        (Answer(QUERY, 0, "0, GPU-1, NVIDIA L4, 23034, 22000"), Answer(("ps",), 0, "secret")),
        {"/proc/version": "Linux", "/etc/passwd": "secret"},
        {"SECRET": "1"},
        {"cores": 4, "secret": 5},
    )
    assert record(facts) == {
        "platform": "linux",
        "machine": "x86_64",
        "commands": [
            {
                "argv": list(QUERY),
                "rc": 0,
                "stdout": "0, GPU-0, NVIDIA L4, 23034, 22000",
                "stderr": "",
            }
        ],
        "files": {"/proc/version": "Linux"},
        "env": {},
        "values": {"cores": 4},
    }


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("GPU-5a1c-22 GPU-5a1c-23", "GPU-0000-00 GPU-0000-01"),
        ("MIG-GPU-5a1c/7/0", "MIG-GPU-0000/0/0"),
        ("GPU-accelerated", "GPU-accelerated"),
        ("7fff744c-0000-1000-8035-a0a0a0a0a0a0", "00000000-0000-0000-0000-000000000000"),
        ("eth0 52:54:00:ab:cd:ef up", "eth0 00:00:00:00:00:00 up"),
        ("0000:03:00.0", "0000:03:00.0"),
        ("Serial\t\t: 10000000abcdef01", "Serial\t\t: 0000000000000000"),
        ('"serial_number": "LQAC2030", "x": 1', '"serial_number": "00000000", "x": 1'),
        ('"asic_serial": "0x1F00AA"', '"asic_serial": "0x000000"'),
        ('"Unique ID": "0xabc"', '"Unique ID": "0x000"'),
        ("/home/jo/models", "/home/user/models"),
        ("/Users/jo", "/Users/user"),
        (r"C:\\Users\\jo\\x", r"C:\\Users\\user\\x"),
        ("(jo@box-7) (gcc 13)", "(builder@host) (gcc 13)"),
        (
            r'"PNPDeviceID": "PCI\\VEN_10DE&DEV_2504\\4&1FC990D7&0&0019"',
            r'"PNPDeviceID": "PCI\\VEN_10DE&DEV_2504\\0"',
        ),
        ("Quentin's box.example.org: boxes", "user's host: boxes"),
        ("memory.max 15 max intel", "memory.max 15 max intel"),
        (
            '{"SPDisplaysDataType": [{"_name": "Apple M4", "spdisplays_ndrvs": [{"_name": "J"}]}]}',
            '{"SPDisplaysDataType": [{"_name": "Apple M4"}]}',
        ),
    ],
)
def test_what_identifies_is_replaced_and_the_rest_is_kept(text: str, scrubbed: str) -> None:
    scrubber = Scrubber({"quentin", "max", "15", "jo"}, {"box.example.org", "intel"})
    assert scrubber.text(text) == scrubbed


def test_a_name_with_a_space_goes_whole() -> None:
    scrubber = Scrubber({"Maria Müller"}, set())
    text = "/Users/Maria Müller/x C:\\\\Users\\\\Maria Müller\\\\y"
    assert scrubber.text(text) == "/Users/user/x C:\\\\Users\\\\user\\\\y"
