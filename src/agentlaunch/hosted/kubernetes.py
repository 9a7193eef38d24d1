"""Plain Kubernetes: a claim for the weights, a Deployment, a Service inside the cluster."""

from __future__ import annotations

from agentlaunch.commented_yaml import Noted, Value, document
from agentlaunch.hosted import vllm
from agentlaunch.hosted.serving import Serving

CACHE = "/cache/huggingface"


def write(serving: Serving) -> str:
    """Three objects in one file.

    Raises `NotSupported` for a model over several machines, which takes a LeaderWorkerSet or Ray.
    """
    vllm.one_machine(serving, "kubernetes")
    parts = (
        document(_head(serving), _claim(serving)),
        document("", _deployment(serving)),
        document("", _service(serving)),
    )
    return "---\n".join(parts)


def secret_name(serving: Serving) -> str:
    """Of the secret with the key."""
    return f"{vllm.slug(serving)}-keys"


def secret_command(serving: Serving) -> str:
    """Make the secret; the key is in no argument of a program. Three lines.

    None is made without a key: vLLM takes an empty one for none, and lets everybody in.
    """
    return (
        '  key="$(openssl rand -hex 32)" &&\n'
        '    printf "VLLM_API_KEY=%s\\nHF_TOKEN=%s\\n" "$key" "$HF_TOKEN" |\n'
        f"    kubectl create secret generic {secret_name(serving)} --from-env-file=/dev/stdin"
    )


def read_command(serving: Serving) -> str:
    """Show the key, to give it to people."""
    return (
        f"  kubectl get secret {secret_name(serving)} "
        "-o go-template='{{.data.VLLM_API_KEY | base64decode}}'"
    )


def labels(serving: Serving) -> dict[str, Value]:
    """What `agentlaunch hosted status` looks for."""
    return {
        "app.kubernetes.io/name": serving.served_name,
        "app.kubernetes.io/component": "vllm",
        "app.kubernetes.io/managed-by": "agentlaunch",
    }


def _head(serving: Serving) -> str:
    name = vllm.slug(serving)
    return "\n".join(
        [
            vllm.about(serving, "Kubernetes with NVIDIA's device plugin"),
            "",
            "Before the first start, in the namespace that you deploy to (HF_TOKEN is for gated",
            "models only and may be empty):",
            secret_command(serving),
            "Start it, and watch it load:",
            "  kubectl apply -f THIS_FILE",
            f"  kubectl logs -f deployment/{name}",
            f"  agentlaunch hosted status --name {serving.served_name}",
            "The key, for the people who shall use it:",
            read_command(serving),
            vllm.point_at(
                f"http://127.0.0.1:{vllm.PORT}",
                f"kubectl port-forward service/{name} {vllm.PORT}      # or your ingress, with TLS",
            ),
        ]
    )


def _claim(serving: Serving) -> dict[str, Value]:
    shared = serving.replicas > 1
    mode = "ReadWriteMany" if shared else "ReadWriteOnce"
    why = (
        "Several replicas read one copy: a storage class that many machines may mount\n"
        "(NFS, CephFS, EFS, Filestore, …) is needed; name it as storageClassName."
        if shared
        else "One machine at a time mounts it; another class of storage: storageClassName."
    )
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{vllm.slug(serving)}-weights", "labels": labels(serving)},
        "spec": {
            "accessModes": Noted(why, [mode]),
            "resources": {
                "requests": {
                    "storage": Noted(
                        "The weights and a fifth more."
                        if serving.weights_bytes
                        else "A guess: how large the weights are is not known here.",
                        f"{vllm.cache_gi(serving)}Gi",
                    )
                }
            },
        },
    }


def _deployment(serving: Serving) -> dict[str, Value]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": vllm.slug(serving), "labels": labels(serving)},
        "spec": {
            "replicas": serving.replicas,
            "strategy": Noted(
                "A new pod would wait for GPUs that the old one holds.", {"type": "Recreate"}
            ),
            "progressDeadlineSeconds": Noted(
                "The first start fetches the weights.", vllm.start_s(serving) + 600
            ),
            "selector": {"matchLabels": labels(serving)},
            "template": {"metadata": {"labels": labels(serving)}, "spec": _pod(serving)},
        },
    }


def _pod(serving: Serving) -> dict[str, Value]:
    kind = f" {serving.gpu}" if serving.gpu else ""
    return {
        "automountServiceAccountToken": Noted("vLLM does not speak to the cluster.", False),
        "enableServiceLinks": Noted(
            "A service named vllm would set VLLM_PORT, which vLLM reads.", False
        ),
        "containers": Noted(
            f"To ask for{kind} nodes add nodeSelector (nvidia.com/gpu.product) and tolerations.",
            [_container(serving)],
        ),
        "volumes": [
            {
                "name": "weights",
                "persistentVolumeClaim": {"claimName": f"{vllm.slug(serving)}-weights"},
            },
            {
                "name": "shm",
                "emptyDir": Noted(
                    "The processes of one engine share memory; it counts as memory of the pod.",
                    {"medium": "Memory", "sizeLimit": "8Gi"},
                ),
            },
        ],
    }


def _container(serving: Serving) -> dict[str, Value]:
    health: dict[str, Value] = {"httpGet": {"path": "/health", "port": "http"}}
    cards = {"nvidia.com/gpu": str(serving.tensor_parallel)}
    words = vllm.arguments(vllm.options(serving), serving.extra_args)
    inside = ["--host", "0.0.0.0", "--port", str(vllm.PORT)]  # noqa: S104 - in the pod
    return {
        "name": "vllm",
        "image": vllm.IMAGE,
        "command": ["vllm", "serve"],
        "args": [serving.repo, *inside, *words],
        "envFrom": Noted(
            "VLLM_API_KEY and HF_TOKEN; no key stands in this file.",
            [{"secretRef": {"name": secret_name(serving)}}],
        ),
        "env": [
            {"name": "HF_HOME", "value": CACHE},
            Noted("No statistics to vLLM's makers.", {"name": "VLLM_NO_USAGE_STATS", "value": "1"}),
        ],
        "ports": [{"name": "http", "containerPort": vllm.PORT}],
        "resources": {
            "requests": {
                "cpu": str(max(4, 2 * serving.tensor_parallel)),
                "memory": f"{vllm.memory_gi(serving)}Gi",
                **cards,
            },
            "limits": Noted("GPUs of one replica; requests and limits must agree.", cards),
        },
        "startupProbe": Noted(
            f"{vllm.start_s(serving) // 60} minutes to fetch, load and compile before it counts "
            "as dead.",
            {**health, "periodSeconds": 10, "failureThreshold": vllm.start_s(serving) // 10},
        ),
        "readinessProbe": {**health, "periodSeconds": 5, "timeoutSeconds": 5},
        "livenessProbe": {
            **health,
            "periodSeconds": 15,
            "timeoutSeconds": 10,
            "failureThreshold": 8,
        },
        "volumeMounts": [
            {"name": "weights", "mountPath": CACHE},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - where the pod has its memory
        ],
    }


def _service(serving: Serving) -> dict[str, Value]:
    spec: dict[str, Value] = {
        "type": Noted("Inside the cluster only; an ingress with TLS makes it public.", "ClusterIP"),
        "selector": labels(serving),
        "ports": [{"name": "http", "port": vllm.PORT, "targetPort": "http"}],
    }
    if serving.replicas > 1:
        spec["sessionAffinity"] = Noted(
            "A session that stays with its replica finds its cache again.", "ClientIP"
        )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": vllm.slug(serving), "labels": labels(serving)},
        "spec": spec,
    }
