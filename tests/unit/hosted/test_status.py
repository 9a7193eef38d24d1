"""Is it up: pods in the words of the Kubernetes API, and what vLLM says of itself."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import fake_kubectl
from agentlaunch.engines.remote_facts import RemoteFacts, RemoteModel
from agentlaunch.errors import AgentlaunchError, AuthNeeded, EngineFailed, NotSupported
from agentlaunch.hosted import status
from agentlaunch.hosted.status import Pod, Restart, Server
from shaped_server import Answer, ShapedServer, bearer

DATA = Path(__file__).parents[2] / "data"
PODS = (DATA / "kubectl" / "pods.json").read_text()
METRICS = (DATA / "metrics" / "vllm.txt").read_bytes()
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=timezone.utc)
PREFIX = "qwen3-coder-30b-6c9f7d-"


def _pod(name: str, **said: Any) -> Pod:
    plain: dict[str, Any] = {
        "ready": False, "phase": "Running", "restarts": 0, "last_restart": None, "reason": None,
        "message": None, "node": None, "age_s": None,
    }  # fmt: skip
    return Pod(name, **(plain | said))


EXPECTED = (
    _pod(
        f"{PREFIX}crash",
        restarts=4,
        last_restart=Restart("Error", 1, "2026-11-23T04:59:50Z"),
        reason="CrashLoopBackOff",
        message="back-off 40s restarting failed container=vllm",
        node="gpu-3",
        age_s=90,
    ),
    _pod(f"{PREFIX}loading", reason="Loading", node="gpu-2", age_s=2 * 86_400),
    _pod(
        f"{PREFIX}pending",
        phase="Pending",
        reason="Unschedulable",
        message="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        age_s=12,
    ),
    _pod(
        f"{PREFIX}x2x7p",
        ready=True,
        restarts=2,
        last_restart=Restart("OOMKilled", 137, "2026-11-23T04:29:00Z"),
        node="gpu-1",
        age_s=3600,
    ),
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the first of PATH."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


# --- the cluster ---------------------------------------------------------------------------------


def test_pods_are_read_with_restarts_and_the_reason_of_each(path: Path) -> None:
    kubectl = fake_kubectl.install(path, stdout=PODS)
    assert status.pods(status.selector("qwen3-coder-30b"), "ml", NOW) == EXPECTED
    assert kubectl.calls == [
        [
            "get",
            "pods",
            "--selector=app.kubernetes.io/managed-by=agentlaunch,"
            "app.kubernetes.io/name=qwen3-coder-30b",
            "--output=json",
            "--request-timeout=5s",
            "--namespace=ml",
        ]
    ]


def test_kubectls_own_namespace_is_used_where_none_is_named(path: Path) -> None:
    kubectl = fake_kubectl.install(path, stdout='{"items": []}')
    assert status.pods(status.selector(None), None) == ()
    assert kubectl.calls[0][2:] == [
        "--selector=app.kubernetes.io/managed-by=agentlaunch",
        "--output=json",
        "--request-timeout=5s",
    ]


@pytest.mark.parametrize(
    ("said", "kind", "code", "begins"),
    [
        (fake_kubectl.NO_CLUSTER, EngineFailed, "no-cluster", "no cluster answers: The connection"),
        (fake_kubectl.TOO_SLOW, EngineFailed, "no-cluster", "no cluster answers: Unable to conn"),
        (fake_kubectl.NO_LOGIN, AuthNeeded, "auth-needed", "the cluster wants a login: error: You"),
        (fake_kubectl.FORBIDDEN, AuthNeeded, "forbidden", "the cluster does not let you see its"),
        (fake_kubectl.NO_CONTEXT, EngineFailed, "no-cluster", "no cluster is chosen: Error in"),
        (
            fake_kubectl.NO_PLUGIN,
            AuthNeeded,
            "auth-needed",
            "the cluster wants a login: Unable to connect to the server: getting credentials: exec",
        ),
        ("error: strange\n", AgentlaunchError, "kubectl", "kubectl failed: error: strange"),
        ("", AgentlaunchError, "kubectl", "kubectl failed: it said nothing"),
    ],
)
def test_what_kubectl_says_becomes_an_error_of_its_kind(
    said: str, kind: type[AgentlaunchError], code: str, begins: str, path: Path
) -> None:
    fake_kubectl.install(path, stderr=said, rc=1)
    with pytest.raises(AgentlaunchError) as caught:
        status.pods(status.MANAGED, "ml")
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert caught.value.message.startswith(begins)
    assert caught.value.hint


def test_a_kubectl_that_hangs_is_a_cluster_that_does_not_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_kubectl.install(path).folder / "kubectl"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(status, "KUBECTL_S", 0.2)
    with pytest.raises(EngineFailed) as caught:
        status.pods(status.MANAGED, None)
    assert (caught.value.code, caught.value.exit_code) == ("no-cluster", 6)
    assert caught.value.hint == "kubectl config current-context"


def test_without_kubectl_the_engine_alone_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotSupported) as caught:
        status.pods(status.MANAGED, None)
    assert caught.value.message == "kubectl is not installed"
    assert "hosted status --url" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "<html>"])
def test_an_answer_that_is_no_json_is_an_error(text: str, path: Path) -> None:
    fake_kubectl.install(path, stdout=text)
    with pytest.raises(EngineFailed, match="kubectl gave no JSON"):
        status.pods(status.MANAGED, None)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"items": None},
        {"items": ["x", None, {}, {"metadata": None}, {"metadata": {"name": 3}}]},
    ],
)
def test_what_is_no_list_of_pods_has_none(value: Any) -> None:
    assert status.read_pods(value, NOW) == ()


def test_a_pod_with_values_of_other_types_is_read_as_far_as_it_goes() -> None:
    row = {
        "metadata": {"name": "p", "creationTimestamp": "yesterday"},
        "spec": [],
        "status": {
            "phase": 7,
            "conditions": [None, {"type": "Ready", "status": True}],
            "containerStatuses": [
                {"restartCount": "many", "state": None, "lastState": {"terminated": "x"}},
                {"restartCount": True, "lastState": {"terminated": {"exitCode": "1"}}},
                "none",
            ],
        },
    }
    expected = _pod("p", phase=None, last_restart=Restart(None, None, None))
    assert status.read_pods({"items": [row]}, NOW) == (expected,)


@pytest.mark.parametrize(
    ("about", "state", "reason"),
    [
        ({"deletionTimestamp": "2026-11-23T05:00:00Z"}, {"phase": "Running"}, "Terminating"),
        ({}, {"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        (
            {},
            {"initContainerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "ImagePullBackOff",
        ),
        (
            {},
            {
                "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
                "initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            },
            "CrashLoopBackOff",
        ),
        (
            {},
            {
                "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
                "initContainerStatuses": [{"state": {"running": {}}}],
            },
            "PodInitializing",
        ),
        (
            {},
            {
                "phase": "Running",
                "containerStatuses": [{"state": {"running": {}}}],
                "initContainerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}],
            },
            "Loading",
        ),
        ({}, {"phase": "Pending"}, None),
    ],
)
def test_why_a_pod_is_not_ready(about: dict[str, str], state: dict[str, Any], reason: str) -> None:
    row = {"metadata": {"name": "p", **about}, "status": state}
    (pod,) = status.read_pods({"items": [row]}, NOW)
    assert (pod.ready, pod.reason) == (False, reason)


def test_a_clock_that_runs_ahead_makes_no_negative_age() -> None:
    row = {"metadata": {"name": "p", "creationTimestamp": "2026-11-23T05:00:09Z"}}
    (pod,) = status.read_pods({"items": [row]}, NOW)
    assert pod.age_s == 0


# --- the engine ----------------------------------------------------------------------------------


def _facts(url: str, kind: Any = "vllm", key: str = "") -> RemoteFacts:
    return RemoteFacts(url, kind, (), (RemoteModel("al-main", 131_072),), key, "0.33.0")


def _server(url: str, **said: Any) -> Server:
    numbers = {"running": 2, "waiting": 1, "cache_full": 0.3412, "prefix_hits": 0.75}
    plain: dict[str, Any] = {"healthy": True, "models": (("al-main", 131_072),), **numbers}
    return Server(url, "vllm", "0.33.0", **(plain | said))


UP: dict[str, Answer] = {"GET /health": (200, b""), "GET /metrics": (200, METRICS)}


def test_vllm_tells_its_health_and_its_numbers() -> None:
    with ShapedServer(UP) as server:
        assert status.server(_facts(server.url)) == _server(server.url)


def test_the_key_goes_along() -> None:
    with ShapedServer(UP, guard=bearer("k")) as server:
        assert status.server(_facts(server.url, key="k")) == _server(server.url)


@pytest.mark.parametrize(("code", "healthy"), [(503, False), (500, False), (404, None)])
def test_an_unwell_engine_is_not_ready(code: int, *, healthy: bool | None) -> None:
    with ShapedServer({**UP, "GET /health": (code, b"")}) as server:
        found = status.server(_facts(server.url))
    assert found == _server(server.url, healthy=healthy)
    assert found.ready is (healthy is None)


def test_without_metrics_there_are_no_numbers() -> None:
    none = {"running": None, "waiting": None, "cache_full": None, "prefix_hits": None}
    with ShapedServer({"GET /health": (200, b"")}) as server:
        assert status.server(_facts(server.url)) == _server(server.url, **none)


def test_an_engine_that_went_away_meanwhile_is_unwell() -> None:
    with ShapedServer({}) as server:
        url = server.url
    assert status.server(_facts(url)).healthy is False


def test_a_litellm_is_never_asked_for_its_health_which_costs_money() -> None:
    with ShapedServer(UP) as server:
        found = status.server(_facts(server.url, "litellm"))
        assert server.asked == []
    assert (found.healthy, found.running, found.ready) == (None, None, True)


# --- together ------------------------------------------------------------------------------------


def test_what_is_not_ready_is_named() -> None:
    done = _pod("job", phase="Succeeded")
    ill = _server("http://h", healthy=False)
    empty = _server("http://h", models=())
    assert list(status.unready((*EXPECTED, done), ill)) == [
        "http://h is not healthy",
        f"pod {PREFIX}crash: CrashLoopBackOff",
        f"pod {PREFIX}loading: Loading",
        f"pod {PREFIX}pending: Unschedulable",
    ]
    assert list(status.unready((EXPECTED[-1], done), _server("http://h"))) == []
    assert list(status.unready((), empty)) == ["http://h serves no model"]
    evicted = _pod("old", phase="Failed", reason="Evicted")
    assert list(status.unready((EXPECTED[-1], evicted), None)) == []
    assert list(status.unready((evicted,), None)) == ["pod old: Evicted"]
