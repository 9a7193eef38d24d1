"""A Ray Serve config file with one LLM application; the same text is KubeRay's `serveConfigV2`.

As in Ray 2.60.0: serve/schema.py, llm/_internal/serve (engines/vllm, core/server/llm_server.py).
"""

from __future__ import annotations

from agentlaunch.commented_yaml import Noted, Value, document
from agentlaunch.errors import NotSupported
from agentlaunch.hosted import parsers, vllm
from agentlaunch.hosted.serving import Serving

VERSION = "2.60.0"
ACCELERATORS = {
    name: name for name in ("L4", "L40S", "A10G", "A100", "H100", "H200", "B200", "B300")
}
ACCELERATORS |= {"A100-80GB": "A100", "RTXPRO6000": "RTX-PRO-6000"}
"""Ray's words (util/accelerators/accelerators.py); nodes have no label for the size of an A100."""


def write(serving: Serving) -> str:
    """One application; Ray itself places a model over several machines.

    Raises `NotSupported` for a parser that the vLLM which Ray pins does not have.
    """
    known = parsers.load()
    for name in (serving.tool_parser, serving.reasoning_parser):
        if name in known.not_in_ray_vllm:
            raise NotSupported(
                f"Ray {VERSION} runs vLLM {known.ray_vllm}, which has no parser {name}",
                hint="--target kubernetes",
                code="parser-too-new",
            )
    return document(
        _head(serving),
        {
            "proxy_location": Noted("One entrance, on the head node.", "HeadOnly"),
            "http_options": {
                "host": Noted(
                    "This machine only; Ray's own default is 0.0.0.0. On KubeRay the pod must be\n"
                    "reachable: set 0.0.0.0 there and let the Service stay ClusterIP.",
                    "127.0.0.1",
                ),
                "port": vllm.PORT,
            },
            "applications": [_application(serving)],
        },
    )


def _head(serving: Serving) -> str:
    pinned = parsers.load().ray_vllm
    return "\n".join(
        [
            vllm.about(serving, f"Ray Serve LLM (Ray {VERSION})", pinned),
            "",
            "WHICH AGENTS: Ray's own front answers /v1/chat/completions only, and asks nobody for",
            "a key. Claude Code needs /v1/messages, Codex /v1/responses: for them, and for a key,",
            "let vLLM itself answer (direct streaming), as the two RAY_SERVE variables below do.",
            "Without them these two agents need a gateway in front, and so does a key.",
            "",
            f"On every node (the extra brings vLLM {pinned}):",
            f'  pip install "ray[serve,llm]=={VERSION}"',
            "Before `ray start` on every node, with one key for all of them (HF_TOKEN is for gated",
            "models only):",
            "  (umask 077; openssl rand -hex 32 > ~/.vllm-key)      # once, then copied",
            "  export RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING=1",
            '  export VLLM_API_KEY="$(cat ~/.vllm-key)" HF_TOKEN RAY_USAGE_STATS_ENABLED=0',
            "Start it on the head node:",
            "  serve run THIS_FILE",
            vllm.point_at(
                f"http://127.0.0.1:{vllm.PORT}",
                f"ssh -N -L {vllm.PORT}:127.0.0.1:{vllm.PORT} HEAD_NODE      # from elsewhere",
            ),
            *_kuberay(serving),
        ]
    )


def _kuberay(serving: Serving) -> list[str]:
    return [
        "",
        "On Kubernetes this text is the serveConfigV2 of KubeRay's RayService, in a file beside:",
        "  apiVersion: ray.io/v1",
        "  kind: RayService",
        f"  metadata: {{name: {vllm.slug(serving)}}}",
        "  spec:",
        "    serveConfigV2: |",
        "      ...this text, six blanks deeper, with http_options.host 0.0.0.0...",
        "    rayClusterConfig: ...groups whose containers have",
        f"      image: one with Ray {VERSION} and its llm extra",
        "      envFrom: [{secretRef: {name: VLLM_KEYS}}]      VLLM_API_KEY and HF_TOKEN",
        "      env: the two RAY_SERVE variables",
        f"      nvidia.com/gpu: {serving.tensor_parallel} in the limits of a worker",
    ]


def _application(serving: Serving) -> dict[str, Value]:
    return {
        "name": vllm.slug(serving),
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "runtime_env": {
            "env_vars": Noted("No statistics to vLLM's makers.", {"VLLM_NO_USAGE_STATS": "1"})
        },
        "args": {"llm_configs": [_model(serving)]},
    }


def _model(serving: Serving) -> dict[str, Value]:
    kind: dict[str, Value] = {}
    if serving.gpu in ACCELERATORS:
        kind["accelerator_type"] = Noted(
            "As Ray calls it; leave it out to take any GPU.", ACCELERATORS[serving.gpu]
        )
    return {
        "model_loading_config": {
            "model_id": serving.served_name,
            "model_source": serving.repo,
        },
        **kind,
        "deployment_config": {
            "num_replicas": Noted(
                "Each takes GPUs of its own. By load: autoscaling_config instead.", serving.replicas
            ),
        },
        "engine_kwargs": Noted(
            "vLLM's options, those of its front included: Ray sorts them.", _engine(serving)
        ),
    }


def _engine(serving: Serving) -> dict[str, Value]:
    found: dict[str, Value] = {
        "tensor_parallel_size": serving.tensor_parallel,
        "pipeline_parallel_size": serving.pipeline_parallel,
        "max_model_len": serving.context_tokens,
        "max_num_seqs": serving.max_requests,
        "gpu_memory_utilization": float(vllm.MEMORY_SHARE),
        "enable_prefix_caching": True,
    }
    if serving.kv_cache_dtype != "auto":
        found["kv_cache_dtype"] = serving.kv_cache_dtype
    if serving.tool_parser is not None:
        found["enable_auto_tool_choice"] = True
        found["tool_call_parser"] = serving.tool_parser
    if serving.reasoning_parser is not None:
        found["reasoning_parser"] = serving.reasoning_parser
    return found | _extra(serving.extra_args)


def _extra(words: tuple[str, ...]) -> dict[str, Value]:
    """Further arguments as keywords: `--name`, `--name=value` or `--name value`."""
    found: dict[str, Value] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = (
                word.removeprefix("--").replace("-", "_", word.count("-")).partition("=")
            )
            found[name] = _typed(value) if value else True
        elif name:
            found[name] = _typed(word)
    return found


def _typed(text: str) -> Value:
    return int(text) if text.isdigit() else text
