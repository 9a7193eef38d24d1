"""What goes wrong with an Ollama server, as errors that name their way out."""

from __future__ import annotations

import re

from agentlaunch import web
from agentlaunch.endpoint import is_loopback
from agentlaunch.engines.ollama.replies import error_text, is_absent, signin_url
from agentlaunch.errors import (
    AgentlaunchError,
    AuthNeeded,
    EngineFailed,
    MachineCannot,
    ModelUnavailable,
    NotSupported,
)
from agentlaunch.keys import KEY_VARIABLE

_NO_MEMORY = re.compile(r"out of memory|more system memory|allocate|\boom\b", re.IGNORECASE)


def refusal(reply: web.Reply, url: str, model: str, *, has_key: bool) -> AgentlaunchError:
    """What an error status means. `model` is the one that was asked for, "" where none was."""
    said = error_text(reply.body)
    if said.startswith("<"):  # a proxy's page
        return other(reply, url, has_key=has_key)
    if reply.status == 404 and is_absent(said):
        return ModelUnavailable(
            f"Ollama at {url} has no model {model}",
            hint=f"agentlaunch models pull {model}",
            code="unknown-model",
        )
    if reply.status == 403 and "cloud is disabled" in said:
        return NotSupported(
            f"{model} runs in the cloud, which Ollama at {url} does not use: {said}",
            hint="choose a model that runs here: agentlaunch models",
            code="cloud-model",
        )
    if reply.status == 401 and signin_url(reply.body) is not None:
        return AuthNeeded(
            f"Ollama at {url} is not signed in, and {model} runs in the cloud",
            hint="on the machine that it runs on: ollama signin",
            code="cloud-signin",
        )
    if reply.status in (499, 503) and said:
        return EngineFailed(
            f"Ollama at {url} has too much to do: {said}",
            hint="try again when it has less to do",
            code="engine-busy",
        )
    if reply.status >= 500:
        return load_failed(model, said)
    if reply.status == 400 and model:
        return ModelUnavailable(
            f"Ollama refused {model}: {said}",
            hint="choose another model: agentlaunch models",
            code="model-refused",
        )
    return other(reply, url, has_key=has_key)


def other(reply: web.Reply, url: str, *, has_key: bool) -> AgentlaunchError:
    """Why what answered is not the Ollama that we talk to."""
    if reply.status == 401 or (reply.status == 403 and reply.body.strip()):
        # No key leaves us for this machine's own address, where another program may listen.
        here = "Ollama itself wants none: set OLLAMA_HOST to its own address, not to a proxy's"
        away = f"export {KEY_VARIABLE}=… and run the same command again"
        return AuthNeeded(
            f"{url} {'rejected the key' if has_key else 'wants a key'} ({reply.status})",
            hint=here if is_loopback(url) else away,
        )
    if reply.status == 403:  # Ollama's guard against rebound names; its body is empty (0.33)
        return EngineFailed(
            f"{url} does not answer to this host name (403)",
            hint="name it by its address, for example OLLAMA_HOST=127.0.0.1:11434",
            code="host-refused",
        )
    if 300 <= reply.status < 400:
        target = reply.headers.get("location", "elsewhere")[:200]
        return EngineFailed(
            f"{url} redirects to {target}, which is not followed",
            hint="set OLLAMA_HOST to the address that it really lives at",
            code="not-ollama",
        )
    return EngineFailed(
        f"what answers at {url} is not Ollama (HTTP {reply.status})",
        hint="another program has that port: set OLLAMA_HOST to Ollama's address",
        code="not-ollama",
    )


def unreachable(url: str, fault: web.WebFault) -> EngineFailed:
    """A web fault as the user's error."""
    if fault.kind in ("not-json", "too-large"):
        return EngineFailed(
            f"what answers at {url} is not Ollama: {fault}",
            hint="another program has that port: set OLLAMA_HOST to Ollama's address",
            code="not-ollama",
        )
    if fault.kind == "tls":
        return EngineFailed(
            str(fault),
            hint="with a certificate authority of your own: export SSL_CERT_FILE=/path/to/ca.pem",
            code="engine-tls",
        )
    start = "start it: ollama serve" if is_loopback(url) else "start it there, or unset OLLAMA_HOST"
    return EngineFailed(str(fault), hint=start, code="engine-unreachable")


def load_failed(model: str, said: str) -> AgentlaunchError:
    """What Ollama says with status 500: memory, or weights that it cannot load."""
    if _NO_MEMORY.search(said):
        return MachineCannot(
            f"Ollama has too little memory for {model}: {said}",
            hint="choose a smaller model or --context: agentlaunch models",
            code="no-memory",
        )
    return EngineFailed(
        f"Ollama failed with {model}: {said}" if model else f"Ollama failed: {said}",
        hint="its log says more: agentlaunch engines logs",
        code="engine-error",
    )
