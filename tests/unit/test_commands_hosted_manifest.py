"""`agentlaunch hosted manifest`: which layout it writes, where, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import schemas
from agentlaunch.cli import main
from agentlaunch.hosted.serving import TARGETS

CODER = "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8"
BIG = "Qwen/Qwen3-Coder-480B-A35B-Instruct"
UNKNOWN = ("--model", "acme/Coder-9000")


def _document(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, Any]]:
    code = main(["hosted", "manifest", *args, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return code, document


def _serving(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    code, document = _document(capsys, "--target", "kubernetes", *args)
    assert code == 0, document
    serving: dict[str, Any] = document["data"]["serving"]
    return serving


def _split(serving: dict[str, Any]) -> tuple[Any, ...]:
    return (
        serving["gpu"], serving["tensor_parallel"], serving["pipeline_parallel"],
        serving["replicas"], serving["extra_args"],
    )  # fmt: skip


def test_the_plans_layout_is_what_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert _serving(capsys, "--model", "qwen3-coder:30b", "--users", "20") == {
        "repo": CODER,
        "served_name": "qwen3-coder-30b",
        "context_tokens": 131_072,
        "tensor_parallel": 1,
        "pipeline_parallel": 1,
        "replicas": 2,
        "gpu": "H200",
        "tool_parser": "qwen3_coder",
        "reasoning_parser": None,
        "max_sessions": 7,
        "weights_bytes": 31_152_329_856,
        "kv_cache_dtype": "auto",
        "extra_args": [],
    }


def test_whole_experts_and_the_cache_go_into_the_manifest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = _serving(
        capsys, "--model", "qwen3-coder:480b", "--gpu", "H200", "--kv-cache", "fp8",
        "--context", "128k", "--served-name", "al-main",
    )  # fmt: skip
    assert _split(found) == ("H200", 8, 1, 1, ["--enable-expert-parallel"])
    assert (found["kv_cache_dtype"], found["context_tokens"]) == ("fp8", 131_072)
    assert found["served_name"] == "al-main"


def test_a_layout_that_is_said_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    big = ("--model", "qwen3-coder:480b", "--gpu", "H200")
    small = ("--model", "qwen3-coder:30b", "--gpu", "H100")
    found = [
        _split(_serving(capsys, *args))
        for args in (
            (*big, "--tensor-parallel", "4", "--kv-cache", "fp8", "--context", "64k"),
            (*big, "--tensor-parallel", "8"),
            (*small, "--tensor-parallel", "2", "--replicas", "3"),
            (*small, "--replicas", "2"),
        )
    ]
    assert found == [
        ("H200", 4, 1, 1, []),
        ("H200", 8, 1, 1, ["--enable-expert-parallel"]),
        ("H100", 2, 1, 3, []),
        ("H100", 1, 1, 2, []),
    ]


def test_parsers_that_are_said_win(capsys: pytest.CaptureFixture[str]) -> None:
    found = _serving(
        capsys, "--model", "glm-4.7", "--tool-parser", "hermes", "--reasoning-parser", "qwen3"
    )
    assert (found["tool_parser"], found["reasoning_parser"]) == ("hermes", "qwen3")


@pytest.mark.parametrize(
    ("args", "code", "begins"),
    [
        (
            ("--model", "glm-4.7", "--gpu", "H100", "--tensor-parallel", "4"),
            "does-not-fit",
            "4 x H100 need 111 GB on each for one session of 128k and have 76.5 GB; ",
        ),
        (
            ("--model", "glm-4.7", "--gpu", "L40S", "--tensor-parallel", "8"),
            "does-not-fit",
            "8 x L40S need 55.5 GB on each for one session of 128k and have 42.8 GB; ",
        ),
        (
            ("--model", "qwen3-coder:30b", "--gpu", "H100", "--users", "20", "--replicas", "1"),
            "too-few-replicas",
            "1 replica hold",
        ),
    ],
)
def test_a_layout_that_is_too_small_is_written_with_a_warning(
    args: tuple[str, ...], code: str, begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, document = _document(capsys, "--target", "kubernetes", *args)
    (warning,) = document["warnings"]
    assert (status, warning["code"]) == (0, code)
    assert warning["message"].startswith(begins)


def test_an_unknown_model_is_served_as_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = _serving(
        capsys, *UNKNOWN, "--tensor-parallel", "4", "--context", "64k", "--tool-parser", "hermes",
        "--reasoning-parser", "deepseek_r1", "--users", "8",
    )  # fmt: skip
    assert found == {
        "repo": "acme/Coder-9000",
        "served_name": "Coder-9000",
        "context_tokens": 65_536,
        "tensor_parallel": 4,
        "pipeline_parallel": 1,
        "replicas": 1,
        "gpu": "H100",
        "tool_parser": "hermes",
        "reasoning_parser": "deepseek_r1",
        "max_sessions": 4,
        "weights_bytes": None,
        "kv_cache_dtype": "auto",
        "extra_args": [],
    }


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("--model", "glm-4.7"), 2, "bad-value"),
        (("--target", "nomad", "--model", "glm-4.7"), 2, "bad-value"),
        (("--target", "ray"), 2, "no-model"),
        (("--target", "ray", *UNKNOWN), 7, "unknown-model"),
        (("--target", "ray", *UNKNOWN, "--tensor-parallel", "4"), 7, "unknown-model"),
        (("--target", "ray", "--model", "glm-4.7", "--gpu", "L40S"), 4, "no-layout"),
        (("--target", "ray", "--model", "glm-4.7", "--replicas", "0"), 2, "bad-value"),
        (("--target", "ray", "--model", "glm-4.7", "--tensor-parallel", "-1"), 2, "bad-value"),
        (("--target", "ray", "--model", "glm-4.7", "--tensor-parallel", "16"), 2, "bad-layout"),
        (("--target", "ray", "--model", "glm-4.7", "--tensor-parallel", "5"), 2, "bad-layout"),
        (
            ("--target", "ray", "--model", "qwen3-coder-next", "--tensor-parallel", "8"),
            2,
            "bad-layout",
        ),
        (("--target", "ray", "--model", "glm-4.7", "--served-name", "a/b"), 2, "bad-value"),
        (("--target", "ray", "--model", "glm-4.7", "--served-name", "a\nb: c"), 2, "bad-value"),
        (("--target", "ray", "--model", "glm-4.7", "--tool-parser", "x y"), 2, "bad-value"),
        (("--target", "ray", "--model", "glm-4.7", "--reasoning-parser", "-x"), 2, "bad-value"),
        (
            ("--target", "ray", "--model", "a/b\n- x", "--tensor-parallel", "1", "--context", "8k"),
            2,
            "bad-value",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(
    args: tuple[str, ...], code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, document = _document(capsys, *args)
    assert (status, document["error"]["code"]) == (code, word)


def test_a_split_that_cannot_be_names_those_that_can(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--target", "ray", "--model", "qwen3-coder-next", "--tensor-parallel", "8")
    error = _document(capsys, *args)[1]["error"]
    assert error["message"].startswith("--tensor-parallel 8: its shared expert, 512 wide, cannot")
    assert error["hint"] == "--tensor-parallel takes 1, 2, 4"


# --- where it goes -------------------------------------------------------------------------------

ARGS = ("hosted", "manifest", "--target", "kubernetes", "--model", "qwen3-coder:30b")


def test_stages_that_are_said_leave_the_split_in_a_machine_as_planned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = ("--target", "ray", "--model", BIG, "--gpu", "H200", "--pipeline-parallel", "3")
    _status, document = _document(capsys, *args)
    assert _split(document["data"]["serving"])[:3] == ("H200", 8, 3)


def test_more_gpus_than_a_machine_has_are_refused_of_an_unknown_model_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = ("--model", "acme/Coder", "--context", "4096", "--tensor-parallel", "16")
    status, document = _document(capsys, "--target", "kubernetes", *args)
    assert (status, document["error"]["code"]) == (2, "bad-layout")


def test_a_cache_that_vllm_cannot_have_is_not_planned(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--target", "kubernetes", "--kv-cache", "fp8", "--gpu")
    for model in ("glm-4.7-flash", "gpt-oss:120b", "gemma4:31b"):
        status, document = _document(capsys, *args, "A100-80GB", "--model", model)
        assert (status, document["error"]["hint"]) == (2, "--kv-cache auto")
        assert _document(capsys, *args, "H100", "--model", model)[0] == 0
    assert _document(capsys, *args, "A100-80GB", "--model", "qwen3-coder:30b")[0] == 0


def test_a_model_that_needs_a_template_for_tools_is_warned_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _status, document = _document(
        capsys, "--target", "kubernetes", "--model", "deepseek-v3.1:671b", "--gpu", "H200"
    )
    assert [row["code"] for row in document["warnings"]] == ["chat-template"]


def test_stdout_holds_the_manifest_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    text = _document(capsys, *ARGS[2:])[1]["data"]["text"]
    assert CODER in text
    assert main([*ARGS]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (text, "")


def test_a_file_holds_the_same_with_its_own_name_and_is_for_everybody_to_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _document(capsys, *ARGS[2:])[1]["data"]["text"]
    place = tmp_path / "my file.yaml"
    assert main([*ARGS, "--output", str(place)]) == 0
    said = capsys.readouterr()
    assert place.read_text() == text.replace("THIS_FILE", "'my file.yaml'")
    assert place.stat().st_mode & 0o777 == 0o644
    assert said.out == ""
    assert said.err.splitlines() == [
        f"wrote {place}: {CODER} as qwen3-coder-30b, 1 replica of 1 x H100",
        "next: its first lines say how the key is made, how it is started and how the agents are "
        "pointed at it",
    ]


def test_a_file_that_is_there_stays_unless_it_is_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "vllm.yaml"
    place.write_text("mine")
    status, document = _document(capsys, *ARGS[2:], "--output", str(place))
    assert (status, document["error"]["code"]) == (8, "file-exists")
    assert document["error"]["hint"] == "--force writes it anew"
    assert place.read_text() == "mine"
    status, document = _document(capsys, *ARGS[2:], "--output", str(place), "--force")
    assert (status, document["data"]["path"]) == (0, str(place))
    assert place.read_text() == document["data"]["text"]


def test_a_place_that_cannot_hold_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        _document(capsys, *ARGS[2:], "--force", "--output", str(place))
        for place in (tmp_path, tmp_path / "no" / "file.yaml")
    ]
    assert [(code, row["error"]["code"]) for code, row in found] == [
        (8, "file-exists"),
        (8, "not-writable"),
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_gets_the_model_and_its_parser(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = _document(capsys, "--target", target, "--model", "qwen3-coder:30b")
    assert code == 0
    text = document["data"]["text"]
    assert all(word in text for word in (CODER, "qwen3-coder-30b", "qwen3_coder", "131072"))


def test_a_model_over_machines_goes_to_a_target_that_has_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = ("--model", BIG, "--gpu", "H200")
    status, document = _document(capsys, "--target", "kubernetes", *args)
    assert (status, document["error"]["code"]) == (5, "needs-one-machine")
    status, document = _document(capsys, "--target", "ray", *args)
    assert (status, _split(document["data"]["serving"])) == (0, ("H200", 8, 2, 1, []))
    assert main(["hosted", "plan", *args]) == 0
    told = capsys.readouterr().err
    assert "hosted manifest --target ray " in told
    assert "hosted status --url http://127.0.0.1:8000" in told  # Ray has no pods of its own
