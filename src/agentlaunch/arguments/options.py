"""The options that several commands share: one spelling and one help text for each."""

from typing import Annotated

import typer

AgentName = Annotated[str | None, typer.Argument(metavar="[AGENT]", show_default=False)]
AgentOption = Annotated[
    str | None, typer.Option("--agent", metavar="AGENT", help="Rank for this agent.")
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="REF", help="Model name, or path to a .gguf.")
]
EngineName = Annotated[
    str | None, typer.Option("--engine", metavar="NAME|URL", help="What serves the model.")
]
ContextSize = Annotated[
    str | None, typer.Option("--context", metavar="N|auto", help="Tokens the engine allocates.")
]
KvCache = Annotated[
    str | None, typer.Option("--kv-cache", metavar="TYPE", help="f16, q8_0, q4_0 or auto.")
]
Slim = Annotated[
    str | None, typer.Option("--slim", metavar="auto|off|on", help="The agent's smaller prompt.")
]
HomeKind = Annotated[
    str | None, typer.Option("--home", metavar="own|clean", help="Your settings, or an empty home.")
]
Simulate = Annotated[
    str | None,
    typer.Option("--simulate", metavar="SPEC|FILE", help="Another machine: a spec, a facts file."),
]
Parallel = Annotated[
    int, typer.Option("--parallel", metavar="N", min=1, help="Slots, each with the context.")
]
Batch = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Micro-batch in tokens.")]
FlashAttention = Annotated[
    str | None,
    typer.Option("--flash-attention", metavar="on|off", help="On where the device has it."),
]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Once, let your code leave this machine.")
]
OtherHost = Annotated[
    bool, typer.Option("--allow-remote", help="Once, on an Ollama that is not this machine.")
]
TrustProject = Annotated[
    bool, typer.Option("--trust-project", help="Let what this project holds run, this once.")
]
Configure = Annotated[
    bool,
    typer.Option("--config", help="Write the agent's own configuration instead of a launch."),
]
GiveBack = Annotated[
    bool, typer.Option("--restore", help="Give this agent's files back, as `restore` does.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Plain http for a registry you name.")]
