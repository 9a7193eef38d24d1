"""A compose file: vLLM on one machine with Docker and the NVIDIA container toolkit."""

from __future__ import annotations

from agentlaunch.commented_yaml import Noted, Value, document
from agentlaunch.errors import NotSupported
from agentlaunch.hosted import vllm
from agentlaunch.hosted.serving import Serving

CACHE = "/cache/huggingface"
MOST_CARDS = 8
"""Of one machine as it is usually sold (gpus.json)."""
HEALTH = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{vllm.PORT}/health', timeout=5)"


def write(serving: Serving) -> str:
    """One service for each replica, each with GPUs and a port of its own.

    Raises `NotSupported` for a model, or replicas, over several machines.
    """
    vllm.one_machine(serving, "compose")
    if serving.gpus > MOST_CARDS:
        raise NotSupported(
            f"compose is for one machine, with at most {MOST_CARDS} GPUs: "
            f"{serving.replicas} x {serving.tensor_parallel} are {serving.gpus}",
            hint="--target kubernetes, or fewer: --replicas "
            f"{max(1, MOST_CARDS // serving.tensor_parallel)}",
            code="needs-one-machine",
        )
    services = {_name(serving, at): _service(serving, at) for at in range(serving.replicas)}
    return document(
        _head(serving),
        {
            "name": vllm.slug(serving),
            "services": services,
            "volumes": {
                "hf-cache": Noted(
                    f"The weights, about {vllm.cache_gi(serving)} GiB, are fetched once.", {}
                )
            },
        },
    )


def _name(serving: Serving, at: int) -> str:
    return "vllm" if serving.replicas == 1 else f"vllm-{at + 1}"


def _head(serving: Serving) -> str:
    lines = [
        vllm.about(serving, "docker compose"),
        "",
        "Before the first start, in the folder of this file (the key stays in .env, mode 0600;",
        "HF_TOKEN is for gated models only):",
        "  (umask 077; set -C      # which writes over no .env that is there",
        '   printf "VLLM_API_KEY=%s\\nHF_TOKEN=\\n" "$(openssl rand -hex 32)" > .env)',
        "Start it, and watch it load:",
        "  docker compose -f THIS_FILE up -d",
        "  docker compose -f THIS_FILE logs -f",
        vllm.point_at(
            f"http://127.0.0.1:{vllm.PORT}",
            f"ssh -N -L {vllm.PORT}:127.0.0.1:{vllm.PORT} GPU_HOST     # from another machine",
        ),
    ]
    if serving.replicas > 1:
        last = vllm.PORT + serving.replicas - 1
        lines += [
            "",
            f"Docker has no balancer: replicas answer at ports {vllm.PORT} to {last}. Give each",
            "person one of them; a session that stays with its replica finds its cache again.",
        ]
    return "\n".join(lines)


def _service(serving: Serving, at: int) -> dict[str, Value]:
    first = at == 0

    def why(text: str, value: Value) -> Value:
        return Noted(text, value) if first else value

    cards: list[Value] = [
        str(at * serving.tensor_parallel + card) for card in range(serving.tensor_parallel)
    ]
    if serving.replicas == 1:
        which: dict[str, Value] = {"count": serving.tensor_parallel}
    else:
        which = {"device_ids": why("nvidia-smi -L lists them; no two replicas share one.", cards)}
    words = vllm.arguments(vllm.options(serving), serving.extra_args)
    inside = ["--host", "0.0.0.0", "--port", str(vllm.PORT)]  # noqa: S104 - in the container
    return {
        "image": vllm.IMAGE,
        "entrypoint": ["vllm", "serve"],
        "command": why(
            "0.0.0.0 is inside the container only: what is published stands under ports.",
            [serving.repo, *inside, *words],
        ),
        "environment": {
            "VLLM_API_KEY": why(
                "The start fails where .env has no key.",
                "${VLLM_API_KEY:?see this file}",
            ),
            "HF_TOKEN": "${HF_TOKEN:-}",
            "HF_HOME": CACHE,
            "VLLM_NO_USAGE_STATS": why("No statistics to vLLM's makers.", "1"),
        },
        "ports": why(
            "This machine only. For others put a proxy with TLS in front; the key would travel\n"
            "in the clear otherwise. /health and /metrics never ask for the key.",
            [f"127.0.0.1:{vllm.PORT + at}:{vllm.PORT}"],
        ),
        "ipc": why("The processes of one engine share memory.", "host"),
        "volumes": [f"hf-cache:{CACHE}"],
        "deploy": {
            "resources": {
                "reservations": {
                    "devices": [{"driver": "nvidia", **which, "capabilities": ["gpu"]}]
                }
            }
        },
        "healthcheck": {
            "test": ["CMD", "python3", "-c", HEALTH],
            "interval": "15s",
            "timeout": "10s",
            "retries": 5,
            "start_period": why(
                "The first start fetches the weights.", f"{vllm.start_s(serving)}s"
            ),
        },
        "restart": "unless-stopped",
    }
