"""A SkyPilot task with a service: SkyServe starts replicas on clouds or Kubernetes.

As in SkyPilot 0.14.1: utils/schemas.py, task.py, skylet/constants.py; checked by Task.from_yaml.
"""

from __future__ import annotations

import shlex

from agentlaunch.commented_yaml import Noted, Script, Value, document
from agentlaunch.hosted import vllm
from agentlaunch.hosted.serving import Serving

SYSTEM_DISK_GI = 100
MASTER_PORT = 29500


def write(serving: Serving) -> str:
    """One task; a model over several machines is one replica of `num_nodes`."""
    many = serving.pipeline_parallel > 1
    nodes: dict[str, Value] = (
        {"num_nodes": Noted("Machines of one replica.", serving.pipeline_parallel)} if many else {}
    )
    return document(
        _head(serving),
        {
            "name": vllm.slug(serving),
            "service": _service(serving),
            "resources": _resources(serving),
            **nodes,
            "envs": {
                "MODEL_ID": serving.repo,
                "VLLM_NO_USAGE_STATS": Noted("No statistics to vLLM's makers.", "1"),
            },
            "secrets": Noted(
                "No value stands here: --secret NAME takes it from your environment.",
                {"VLLM_API_KEY": None, "HF_TOKEN": None},
            ),
            "setup": Script(("set -e", f"uv pip install --system vllm=={vllm.VERSION}")),
            "run": Script(_run(serving)),
        },
    )


def _head(serving: Serving) -> str:
    name = vllm.slug(serving)
    return "\n".join(
        [
            vllm.about(serving, "SkyPilot (SkyServe, beta upstream)"),
            "",
            "Start it; the key stays in your environment (HF_TOKEN is for gated models only,",
            "and may be empty):",
            '  export VLLM_API_KEY="$(openssl rand -hex 32)" HF_TOKEN="${HF_TOKEN:-}"',
            f"  sky serve up THIS_FILE -n {name} --secret VLLM_API_KEY --secret HF_TOKEN",
            f"  sky serve status {name}",
            "",
            "PUBLIC: on a cloud SkyServe opens its endpoint and the replicas' ports to the",
            "internet, without TLS. The key guards the model; /health and /metrics ask for none.",
            "Give the service a `tls` with keyfile and certfile, or keep the cloud's firewall",
            "closed.",
            vllm.point_at(
                "http://ENDPOINT",
                f"sky serve status {name} --endpoint      # ENDPOINT",
            ),
        ]
    )


def _service(serving: Serving) -> dict[str, Value]:
    return {
        "readiness_probe": {
            "path": "/v1/models",
            "headers": {"Authorization": "Bearer $VLLM_API_KEY"},
            "initial_delay_seconds": Noted(
                "The first start fetches the weights. A replica that takes longer is given up.",
                vllm.start_s(serving),
            ),
            "timeout_seconds": 15,
        },
        "load_balancer": {
            "stream_timeout_seconds": Noted(
                "A long prompt in a full queue is silent for longer than SkyServe's 120.", 1800
            )
        },
        "replicas": Noted(
            "Each replica is billed while it runs. To scale by load: replica_policy instead.",
            serving.replicas,
        ),
    }


def _resources(serving: Serving) -> dict[str, Value]:
    card = serving.gpu or "H100"
    why = (
        "GPUs of one machine."
        if serving.gpu
        else "GPUs of one machine; the kind is a guess, put yours: sky show-gpus"
    )
    return {
        "accelerators": Noted(why, f"{card}:{serving.tensor_parallel}"),
        "ports": vllm.PORT,
        "disk_size": Noted(
            "GiB: the system, vLLM, and the weights with a fifth more.",
            SYSTEM_DISK_GI + vllm.cache_gi(serving),
        ),
    }


def _run(serving: Serving) -> tuple[str, ...]:
    chosen = vllm.options(serving)
    many = serving.pipeline_parallel > 1
    inside = ["--host", "0.0.0.0", "--port", str(vllm.PORT)]  # noqa: S104 - said in the header
    words = vllm.arguments(chosen, serving.extra_args)
    common = [f"  {line} \\" for line in _lines([*inside, *words])]
    guard = ("# An empty key is none to vLLM, and lets everybody in.", ': "${VLLM_API_KEY:?}"')
    if not many:
        last = common[-1].removesuffix(" \\")
        return (*guard, 'vllm serve "$MODEL_ID" \\', *common[:-1], last)
    return (
        *guard,
        "# The first machine answers, the others only compute.",
        'HEAD="$(echo "$SKYPILOT_NODE_IPS" | head -n 1)"',
        'if [ "$SKYPILOT_NODE_RANK" -gt 0 ]; then ONLY_COMPUTE=--headless; else ONLY_COMPUTE=; fi',
        'vllm serve "$MODEL_ID" \\',
        *common,
        '  --nnodes "$SKYPILOT_NUM_NODES" --node-rank "$SKYPILOT_NODE_RANK" \\',
        f'  --master-addr "$HEAD" --master-port {MASTER_PORT} $ONLY_COMPUTE',
    )


def _lines(words: list[str]) -> list[str]:
    """An option and its value on one line, quoted for a shell."""
    lines: list[str] = []
    for word in words:
        if word.startswith("--") or not lines:
            lines.append(shlex.quote(word))
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return lines
