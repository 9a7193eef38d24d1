"""Values for the chart of vLLM's production stack: engines behind a router.

Chart vllm-stack 0.1.12: templates/deployment-vllm-multi.yaml, values.yaml and values.schema.json.
"""

from __future__ import annotations

from agentlaunch.commented_yaml import Noted, Value, document
from agentlaunch.hosted import kubernetes, vllm
from agentlaunch.hosted.serving import Serving

CHART_VERSION = "0.1.12"
CHARTS = "https://vllm-project.github.io/production-stack"


def write(serving: Serving) -> str:
    """The chart's values.

    Raises `NotSupported` for several machines: the chart's `raySpec` runs vLLM on a Ray cluster,
    and vLLM's image has no Ray since it stopped being a dependency (0.33.0's metadata).
    """
    vllm.one_machine(serving, "production-stack")
    secret = kubernetes.secret_name(serving)
    return document(
        _head(serving),
        {
            "servingEngineSpec": {
                "runtimeClassName": Noted("nvidia, where the cluster has such a class.", ""),
                "vllmApiKey": Noted(
                    "Engines and router read the key from the secret; none stands in this file.",
                    {"secretName": secret, "secretKey": "VLLM_API_KEY"},
                ),
                "strategy": Noted(
                    "A new pod would wait for GPUs and the claim that the old one holds, and the\n"
                    "chart keeps the old one until the new one is ready.",
                    {"type": "Recreate"},
                ),
                "startupProbe": Noted(
                    f"{vllm.start_s(serving) // 60} minutes to fetch, load and compile; "
                    "the chart gives 10.",
                    {
                        "initialDelaySeconds": 15,
                        "periodSeconds": 10,
                        "failureThreshold": vllm.start_s(serving) // 10,
                        "httpGet": {"path": "/health", "port": vllm.PORT},
                    },
                ),
                "modelSpec": [_model(serving)],
            },
            "routerSpec": _router(),
        },
    )


def _head(serving: Serving) -> str:
    return "\n".join(
        [
            vllm.about(serving, f"vLLM's production stack (chart vllm-stack {CHART_VERSION})"),
            "",
            "Before the first start, in the namespace that you deploy to (HF_TOKEN is for gated",
            "models only and may be empty):",
            kubernetes.secret_command(serving),
            "Start it:",
            f"  helm repo add vllm {CHARTS}",
            f"  helm install vllm vllm/vllm-stack --version {CHART_VERSION} -f THIS_FILE",
            f"  agentlaunch hosted status --selector app.kubernetes.io/name={vllm.slug(serving)}",
            "The key, for the people who shall use it:",
            kubernetes.read_command(serving),
            vllm.point_at(
                f"http://127.0.0.1:{vllm.PORT}",
                f"kubectl port-forward service/vllm-router-service {vllm.PORT}:80"
                "      # or your ingress",
            ),
        ]
    )


def _model(serving: Serving) -> dict[str, Value]:
    chosen = vllm.options(serving)
    own = {
        "max-model-len",
        "max-num-seqs",
        "gpu-memory-utilization",
        "enable-prefix-caching",
        "tensor-parallel-size",
        "enable-auto-tool-choice",
        "tool-call-parser",
    }
    rest: list[Value] = list(
        vllm.arguments(
            {name: value for name, value in chosen.items() if name not in own}, serving.extra_args
        )
    )
    tools: dict[str, Value] = (
        {}
        if serving.tool_parser is None
        else {"enableTool": True, "toolCallParser": serving.tool_parser}
    )
    shared = serving.replicas > 1
    return {
        "name": vllm.slug(serving),
        "repository": vllm.IMAGE_NAME,
        "tag": f"v{vllm.VERSION}",
        "modelURL": serving.repo,
        "replicaCount": serving.replicas,
        "requestCPU": max(4, 2 * serving.tensor_parallel),
        "requestMemory": f"{vllm.memory_gi(serving)}Gi",
        "requestGPU": Noted("Of one replica.", serving.tensor_parallel),
        "pvcStorage": Noted("The weights and a fifth more.", f"{vllm.cache_gi(serving)}Gi"),
        "pvcAccessMode": Noted(
            "All replicas mount one claim: the storage class must allow that."
            if shared
            else "One machine at a time mounts it.",
            ["ReadWriteMany" if shared else "ReadWriteOnce"],
        ),
        "shmSize": "8Gi",
        "hf_token": {"secretName": kubernetes.secret_name(serving), "secretKey": "HF_TOKEN"},
        "env": [
            Noted("No statistics to vLLM's makers.", {"name": "VLLM_NO_USAGE_STATS", "value": "1"})
        ],
        **tools,
        "vllmConfig": {
            "enablePrefixCaching": Noted("The chart turns it OFF where this is not said.", True),
            "maxModelLen": serving.context_tokens,
            "maxNumSeqs": serving.max_requests,
            "gpuMemoryUtilization": vllm.MEMORY_SHARE,
            "tensorParallelSize": serving.tensor_parallel,
            "extraArgs": Noted("What the chart has no field for.", rest),
        },
    }


def _router() -> dict[str, Value]:
    return {
        "tag": Noted("The chart has no version of its own for the router: pin yours.", "latest"),
        "serviceType": Noted(
            "Inside the cluster only; an ingress with TLS makes it public.", "ClusterIP"
        ),
        "routingLogic": Noted(
            "Requests with this header stay with one replica, where their prefix is; others\n"
            "go to the least busy one. Not prefixaware: in this chart it fails on /v1/responses,\n"
            "which Codex speaks.",
            "session",
        ),
        "sessionKey": "x-user-id",
    }
