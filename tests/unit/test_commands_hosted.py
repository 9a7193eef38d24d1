"""`agentlaunch hosted`: plans, manifests and status as the command line gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fake_kubectl
import schemas
from agentlaunch.cli import main
from shaped_server import Answer, ShapedServer, bearer

DATA = Path(__file__).parents[1] / "data"
PODS = (DATA / "kubectl" / "pods.json").read_text()
READY = json.dumps({"items": [json.loads(PODS)["items"][0]]})
METRICS = (DATA / "metrics" / "vllm.txt").read_bytes()
CODER = "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8"


def _document(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, Any]]:
    code = main(["hosted", *args, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return code, document


def _data(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    code, document = _document(capsys, *args)
    assert code == 0, document
    data: dict[str, Any] = document["data"]
    return data


def _refused(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str, str]:
    code, document = _document(capsys, *args)
    error = document["error"]
    return code, error["code"], error["message"], error["hint"] or ""


# --- plan ----------------------------------------------------------------------------------------


def test_a_plan_says_what_was_asked_and_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    data = _data(
        capsys, "plan", "--model", "qwen3-coder:30b", "--users", "20", "--gpu", "h100",
        "--concurrency", "25%",
    )  # fmt: skip
    (gpu,) = data.pop("gpus")
    because = data.pop("because")
    assert len(because) == 3
    assert data == {
        "model": "qwen3-coder:30b",
        "repo": CODER,
        "precision": "fp8-block",
        "source": "model card and config.json (weight_block_size 128x128)",
        "weights_bytes": 31_152_329_856,
        "context_max_tokens": 262_144,
        "users": 20,
        "concurrency": 0.25,
        "sessions": 5,
        "context_tokens": 131_072,
        "kv_cache": "auto",
        "kv_token_bytes": 98_304,
        "kv_session_bytes": 12_884_901_888,
        "gpu_memory_utilization": 0.9,
        "recommended": "H100",
        "next": [
            "agentlaunch hosted manifest --target kubernetes --model qwen3-coder:30b --users 20 "
            "--concurrency 25% --gpu h100 --output qwen3-coder-30b.yaml",
            "agentlaunch hosted status --name qwen3-coder-30b",
        ],
    }
    layout = gpu.pop("layout")
    assert gpu == {
        "gpu": "H100",
        "memory_bytes": 84_975_927_951,
        "fits": True,
        "tensor_parallel": 2,
        "pipeline_parallel": 1,
        "expert_parallel": False,
        "budget_bytes": 76_478_335_156,
        "miss": None,
    }
    assert (layout["replicas"], layout["gpus"], layout["sessions"]) == (1, 2, 8)
    held = layout["weights_bytes"] + layout["kv_bytes"] + layout["overhead_bytes"]
    assert held + layout["headroom_bytes"] == 76_478_335_156


def test_a_plan_shows_every_gpu_in_sixty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["hosted", "plan", "--model", "glm-4.7", "--users", "30"]) == 0
    said = capsys.readouterr()
    rows = said.out.splitlines()
    assert [row.split()[0] for row in rows] == [
        "GPU", "L4", "A10G", "RTX4090", "RTX5090", "A100", "L40S", "RTX6000-Ada", "A100-80GB",
        "H100", "RTXPRO6000", "H200", "B200", "B300",
    ]  # fmt: skip
    assert all(len(row) <= 60 for row in rows)
    assert rows[1].split() == ["L4", "tp8", "-", "-", "no:", "56", ">", "21", "GB"]
    assert sum("recommended" in row for row in rows) == 1
    assert "50% of them work at the same moment (--concurrency)" in said.err
    command = "agentlaunch hosted manifest --target kubernetes --model glm-4.7 --users 30"
    assert f"next: {command} --output glm-4.7.yaml" in said.err.splitlines()


def test_a_context_is_the_usual_one_or_the_models_own_if_that_is_shorter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [
        _data(capsys, "plan", "--model", name, *more)["context_tokens"]
        for name, more in (
            ("qwen3-coder:30b", ()),
            ("qwen2.5-coder:32b", ()),
            ("qwen3-coder:30b", ("--context", "64k")),
            ("qwen3-coder:30b", ("--context", "262144")),
            ("qwen3-coder:30b", ("--context", "auto")),
        )
    ]
    assert found == [131_072, 32_768, 65_536, 262_144, 131_072]


def test_what_does_not_fit_says_what_it_lacks_and_what_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _refused(capsys, "plan", "--model", "glm-4.7", "--gpu", "L40S", "--users", "3") == (
        4,
        "no-layout",
        "8 x L40S need 55.5 GB on each for one session of 128k and have 42.8 GB; the weights "
        "alone are too much",
        "agentlaunch hosted plan --model glm-4.7 --users 3",
    )
    short = ("plan", "--model", "devstral-2:123b", "--gpu", "L4")
    code, _, message, hint = _refused(capsys, *short)
    assert (code, message.rpartition("; ")[2]) == (4, "72k would fit")
    assert hint == (
        "agentlaunch hosted plan --model devstral-2:123b --users 1 --context 73728 --gpu L4"
    )
    assert _data(capsys, *short, "--context", "73728")["recommended"] == "L4"


@pytest.mark.parametrize(
    ("args", "code", "word", "begins"),
    [
        ((), 2, "no-model", "which model?"),
        (("--model", "x:1b"), 7, "unknown-model", "no model `x:1b` that vLLM serves"),
        (("--model", "a/b"), 7, "unknown-model", "the weights and the shape of a/b"),
        (("--model", "glm-4.7", "--users", "0"), 2, "usage", "--users: 0 is not a number"),
        (("--model", "glm-4.7", "--users", "999999"), 2, "usage", "--users: 999999 is not"),
        (("--model", "glm-4.7", "--concurrency", "0"), 2, "bad-value", "--concurrency: '0' is"),
        (("--model", "glm-4.7", "--concurrency", "101%"), 2, "bad-value", "--concurrency: '101%"),
        (("--model", "glm-4.7", "--concurrency", "nan"), 2, "bad-value", "--concurrency: 'nan'"),
        (("--model", "glm-4.7", "--concurrency", "half"), 2, "bad-value", "--concurrency: 'half"),
        (("--model", "glm-4.7", "--gpu", "H900"), 2, "unknown-gpu", "--gpu: 'H900' is not known"),
        (("--model", "glm-4.7", "--kv-cache", "q8_0"), 2, "bad-value", "--kv-cache: 'q8_0' is"),
        (("--model", "glm-4.7", "--context", "x"), 2, "bad-value", "--context: 'x' is not a num"),
        (
            ("--model", "glm-4.7", "--context", "300000"),
            2,
            "context-too-long",
            "--context: zai-org/GLM-4.7-FP8 was trained for 202,752 tokens",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused(
    args: tuple[str, ...], code: int, word: str, begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _refused(capsys, "plan", *args)
    assert found[:2] == (code, word)
    assert found[2].startswith(begins)


def test_the_group_alone_is_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert _data(capsys, "--model", "gpt-oss:20b")["repo"] == "openai/gpt-oss-20b"


# --- status --------------------------------------------------------------------------------------

UP: dict[str, Answer] = {
    "GET /v1/models": (
        200,
        {"data": [{"id": "al-main", "owned_by": "vllm", "max_model_len": 131_072}]},
    ),
    "GET /version": (200, {"version": "0.33.0"}),
    "GET /health": (200, b""),
    "GET /metrics": (200, METRICS),
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the first of PATH."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_an_engine_that_is_up_is_ready_and_tells_its_numbers(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl = fake_kubectl.install(path, rc=1)
    with ShapedServer(UP) as server:
        data = _data(capsys, "status", "--url", server.url)
        assert data == {
            "ready": True,
            "not_ready": [],
            "selector": None,
            "namespace": None,
            "pods": None,
            "server": {
                "url": server.url,
                "kind": "vllm",
                "version": "0.33.0",
                "healthy": True,
                "ready": True,
                "models": [{"name": "al-main", "context_tokens": 131_072}],
                "running": 2,
                "waiting": 1,
                "cache_full": 0.3412,
                "prefix_hits": 0.75,
            },
        }
        assert main(["hosted", "status", "--url", server.url]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{server.url}: vllm 0.33.0, healthy",
            "  al-main: 128k of context",
            "  2 requests at work, 1 waiting, 34% of the cache in use, 75% of the prompts came "
            "from it",
        ]
        assert all(row.startswith("GET ") for row in server.asked)  # nothing is generated
    assert kubectl.calls == []


def test_the_engine_of_the_settings_is_asked_with_its_key(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kubectl.install(path, rc=1)
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", "k")
    with ShapedServer(UP, guard=bearer("k")) as server:
        monkeypatch.setenv("AGENTLAUNCH_HOSTED_URL", server.url)
        assert _data(capsys, "status")["ready"] is True
    assert {row.headers.get("authorization") for row in server.requests} == {"Bearer k"}


def test_an_engine_that_wants_a_key_says_how_to_give_it(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_kubectl.install(path, rc=1)
    with ShapedServer(UP, guard=bearer("k")) as server:
        code, word, message, hint = _refused(capsys, "status", "--url", server.url)
    assert (code, word) == (9, "auth-needed")
    assert message == f"{server.url} wants a key (401)"
    assert "AGENTLAUNCH_ENGINE_KEY" in hint


def test_nothing_is_asked_of_another_machine_without_the_users_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = _refused(capsys, "status", "--url", "http://192.0.2.7:8000", "--no-input")
    assert found[:2] == (8, "remote-not-allowed")


def test_an_engine_that_is_gone_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake_kubectl.install(path, rc=1)
    with ShapedServer(UP) as server:
        url = server.url
    found = _refused(capsys, "status", "--url", url)
    assert found[:3] == (6, "engine-failed", f"nothing answers at {url.removeprefix('http://')}")


def test_an_engine_that_only_starts_is_not_ready(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_kubectl.install(path, rc=1)
    with ShapedServer({}, otherwise=(503, {"error": "loading"})) as server:
        code, document = _document(capsys, "status", "--url", server.url)
    assert (code, document["ok"], document["data"]["ready"]) == (3, True, False)
    assert document["data"]["not_ready"] == [f"{server.url} is not healthy"]


def test_pods_that_are_not_ready_end_with_status_3(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kubectl.install(path, stdout=PODS)
    code, document = _document(capsys, "status", "--name", "qwen3-coder-30b", "--namespace", "ml")
    assert code == 3
    assert document["ok"] is True
    assert document["data"]["ready"] is False
    assert [row["ready"] for row in document["data"]["pods"]] == [False, False, False, True]
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["hosted", "status"]) == 3
    said = capsys.readouterr()
    name = "qwen3-coder-30b-6c9f7d"
    assert [row.split()[:3] for row in said.out.splitlines()] == [
        ["POD", "READY", "RESTARTS"],
        [f"{name}-crash", "no", "4"],
        [f"{name}-loading", "no", "0"],
        [f"{name}-pending", "no", "0"],
        [f"{name}-x2x7p", "yes", "2"],
    ]
    assert "on gpu-1, last ended: OOMKilled (status 137)" in said.out
    assert "Unschedulable, 0/3 nodes are available: 3 Insufficient nvidia.com/gpu." in said.out
    assert f"not ready: pod {name}-crash: CrashLoopBackOff; " in said.err


def test_ready_pods_end_with_status_0(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl = fake_kubectl.install(path, stdout=READY)
    data = _data(capsys, "status", "--selector", "app=vllm,tier in (a, b)")
    assert (data["ready"], data["selector"]) == (True, "app=vllm,tier in (a, b)")
    assert "--selector=app=vllm,tier in (a, b)" in kubectl.calls[0]


def test_no_pod_at_all_is_not_ready(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake_kubectl.install(path, stdout='{"items": []}')
    assert main(["hosted", "status"]) == 3
    assert capsys.readouterr().err.splitlines()[0] == (
        "no pod has the labels app.kubernetes.io/managed-by=agentlaunch"
    )


def test_one_half_is_told_where_the_other_does_not_answer(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_kubectl.install(path, stderr=fake_kubectl.FORBIDDEN, rc=1)
    with ShapedServer(UP) as server:
        code, document = _document(capsys, "status", "--url", server.url, "--namespace", "ml")
    assert (code, document["ok"], document["data"]["ready"]) == (3, True, False)
    assert document["data"]["server"]["ready"] is True
    assert [row["code"] for row in document["warnings"]] == ["forbidden"]
    fake_kubectl.install(path, stdout=READY)
    code, document = _document(capsys, "status", "--url", server.url, "--namespace", "ml")
    assert (code, document["data"]["server"]) == (3, None)
    assert document["data"]["not_ready"]
    assert len(document["data"]["pods"]) == 1


@pytest.mark.parametrize(
    "args",
    [
        ("--namespace", "--all-namespaces"),
        ("--namespace", "a b"),
        ("--name", "x,y=z"),
        ("--name", "-A"),
        ("--selector", "a=b\n"),
        ("--selector", "a=b", "--name", "c"),
        ("--url", "ftp://x"),
    ],
)
def test_words_that_kubectl_would_take_for_something_else_are_refused(
    args: tuple[str, ...], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl = fake_kubectl.install(path, stdout=READY)
    assert _refused(capsys, "status", *args)[0] == 2
    assert kubectl.calls == []
