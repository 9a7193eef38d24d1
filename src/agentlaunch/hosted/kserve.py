"""KServe's LLMInferenceService: the resource that its controller turns into pods and a route.

As in kserve/kserve: docs/samples/llmisvc/agentic-tool-calling, config/llmisvcconfig (2026-08).
Its pods must not be root since v0.18, and vLLM's image is that of root with a user 2000 beside.
"""

from __future__ import annotations

from agentlaunch.commented_yaml import Noted, Value, document
from agentlaunch.hosted import kubernetes, vllm
from agentlaunch.hosted.serving import Serving


def write(serving: Serving) -> str:
    """One resource.

    Raises `NotSupported` for several machines: KServe (to v0.20) has no preset for stages of layers
    (`kserve-config-llm-worker-pipeline-parallel`), and its controller ends without one.
    """
    vllm.one_machine(serving, "kserve")
    spec: dict[str, Value] = {
        "model": Noted(
            "KServe fetches the weights before the start; for large ones raise memoryLimit of\n"
            "storageInitializer in the inferenceservice-config of the namespace kserve.",
            {"uri": f"hf://{serving.repo}", "name": serving.served_name},
        ),
        "replicas": serving.replicas,
        "router": Noted(
            "A route on the cluster's gateway, and a scheduler that sends a session where its\n"
            "prefix is cached.",
            {"route": {}, "scheduler": {}},
        ),
    }
    probe = {"periodSeconds": 10, "failureThreshold": vllm.START_S // 10}
    first = _container(serving) | {
        "startupProbe": Noted(
            f"{vllm.START_S // 60} minutes to load and compile; KServe gives 10."
            "\nPath and port are its own.",
            probe,
        )
    }
    spec["template"] = {"containers": [first]}
    return document(
        _head(serving),
        {
            "apiVersion": Noted(
                "serving.kserve.io/v1alpha1 on older installs: kubectl api-resources | grep -i llm",
                "serving.kserve.io/v1alpha2",
            ),
            "kind": "LLMInferenceService",
            "metadata": {"name": vllm.slug(serving), "labels": kubernetes.labels(serving)},
            "spec": spec,
        },
    )


def _head(serving: Serving) -> str:
    name = vllm.slug(serving)
    return "\n".join(
        [
            vllm.about(serving, "KServe"),
            "",
            "Needs KServe with LLMInferenceService, the Gateway API and its Inference Extension.",
            "Before the first start, in the namespace that you deploy to (HF_TOKEN is for gated",
            "models only and may be empty):",
            kubernetes.secret_command(serving),
            "A gated model is fetched by KServe itself, with the token of the service account:",
            "  kubectl patch serviceaccount default"
            f""" -p '{{"secrets":[{{"name":"{kubernetes.secret_name(serving)}"}}]}}'""",
            "Start it, and wait:",
            "  kubectl apply -f THIS_FILE",
            f"  kubectl wait --for=condition=Ready llminferenceservice/{name} "
            f"--timeout={vllm.start_s(serving)}s",
            "  agentlaunch hosted status "
            f"--selector app.kubernetes.io/name={name},kserve.io/component=workload",
            "The key, for the people who shall use it:",
            kubernetes.read_command(serving),
            vllm.point_at(
                f"https://GATEWAY/NAMESPACE/{name}",
                f"kubectl get llminferenceservice {name}      # URL: the address to take below",
            ),
        ]
    )


def _container(serving: Serving) -> dict[str, Value]:
    cards = {"nvidia.com/gpu": str(serving.tensor_parallel)}
    return {
        "name": "main",
        "image": Noted(
            "Without this line KServe takes an image of its own, whose vLLM is another version\n"
            "and may not know the parsers below.",
            vllm.IMAGE,
        ),
        "securityContext": Noted(
            "KServe starts nothing as root, as which this image would run.",
            {"runAsUser": 2000, "runAsGroup": 0},
        ),
        "env": [
            Noted("No key stands in this file.", _secret(serving, "VLLM_API_KEY")),
            _secret(serving, "HF_TOKEN"),
            Noted("No statistics to vLLM's makers.", {"name": "VLLM_NO_USAGE_STATS", "value": "1"}),
            Noted(
                "KServe writes the command itself and adds these words to it.",
                {"name": "VLLM_ADDITIONAL_ARGS", "value": _words(serving)},
            ),
        ],
        "resources": {
            "limits": Noted("GPUs of one machine of a replica.", cards),
            "requests": {
                "cpu": str(max(4, 2 * serving.tensor_parallel)),
                "memory": f"{vllm.memory_gi(serving)}Gi",
                **cards,
            },
        },
    }


def _secret(serving: Serving, name: str) -> dict[str, Value]:
    where = {"name": kubernetes.secret_name(serving), "key": name}
    return {"name": name, "valueFrom": {"secretKeyRef": where}}


def _words(serving: Serving) -> str:
    """A shell reads them, so only words without a special character go in: `serving.checked`."""
    chosen = vllm.options(serving)
    del chosen["served-model-name"]  # KServe's own, from model.name
    words = [
        f"--{name}" if value is None else f"--{name}={value}" for name, value in chosen.items()
    ]
    return " ".join([*words, *serving.extra_args])
