"""The real kubectl before a cluster's API over HTTP: our reading of what it says and writes."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.errors import AgentlaunchError, AuthNeeded, EngineFailed
from agentlaunch.hosted import status

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "kubectl" / "pods.json").read_text())
GROUPS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod",
             "shortNames": ["po"], "verbs": ["get", "list"]},
        ],
    },
}  # fmt: skip


def _refusal(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
        "reason": reason, "details": {"kind": "pods"}, "code": code,
    }  # fmt: skip


@contextmanager
def _cluster(folder: Path, pods: tuple[int, Any], *, login: bool = True) -> Iterator[list[str]]:
    """An API server; yields the paths that were asked for pods."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            code, body = (200, GROUPS[path]) if path in GROUPS else pods
            if path not in GROUPS:
                asked.append(self.path)
            if not login:
                code, body = 401, _refusal(401, "Unauthorized", "Unauthorized")
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    _config(folder, f"http://127.0.0.1:{server.server_address[1]}")
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def _config(folder: Path, address: str) -> None:
    (folder / "config").write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        f"clusters: [{{name: c, cluster: {{server: '{address}'}}}}]\n"
        "users: [{name: u, user: {token: t}}]\n"
        "contexts: [{name: here, context: {cluster: c, user: u, namespace: ml}}]\n"
    )


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))


def test_pods_come_with_their_labels_asked_for(tmp_path: Path) -> None:
    listed = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": RECORDED["items"]}
    now = datetime(2026, 11, 23, 5, 0, tzinfo=timezone.utc)
    with _cluster(tmp_path, (200, listed)) as asked:
        found = status.pods(status.selector("qwen3-coder-30b"), None, now)
    assert found == status.read_pods(RECORDED, now)
    assert len(found) == 4
    path, _, query = asked[-1].partition("?")
    assert path == "/api/v1/namespaces/ml/pods"
    assert "app.kubernetes.io%2Fname%3Dqwen3-coder-30b" in query


def _fault(namespace: str | None = None) -> AgentlaunchError:
    with pytest.raises(AgentlaunchError) as caught:
        status.pods(status.MANAGED, namespace)
    return caught.value


def test_no_right_no_login_and_no_cluster_are_told_apart(tmp_path: Path) -> None:
    no = _refusal(403, "Forbidden", 'pods is forbidden: User "ann" cannot list resource "pods"')
    with _cluster(tmp_path, (403, no)):
        forbidden = _fault("ml")
    with _cluster(tmp_path, (200, {}), login=False):
        login = _fault()
    nowhere = _fault()
    kinds = [(type(one), one.code) for one in (forbidden, login, nowhere)]
    assert kinds == [
        (AuthNeeded, "forbidden"),
        (AuthNeeded, "auth-needed"),
        (EngineFailed, "no-cluster"),
    ]
    assert forbidden.hint == "kubectl auth can-i list pods --namespace ml"
