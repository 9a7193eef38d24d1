"""Fetch a model, into our store or an Ollama server's: sized, held against the room there, watched,
and stopped so that it can go on.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from agentlaunch import files
from agentlaunch.endpoint import is_loopback
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.errors import (
    MachineCannot,
    ModelUnavailable,
    NotSupported,
    Refused,
    Terminated,
)
from agentlaunch.models import store
from agentlaunch.models.catalog import Catalog
from agentlaunch.models.manifest import Manifest
from agentlaunch.models.refs import Ref, parse_ref
from agentlaunch.progress import Progress, Work, noting, share_text
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes

_GONE_ON = ("unknown-model", "no-weights", "bad-model-name", "insecure-registry")
"""Refusals that hold for Ollama too; of others it may know better: it has a key, perhaps another
proxy, and is perhaps newer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fetch:
    """A download before it begins: what, where to, and how much of it is there already.

    `manifest` is None where only the server itself reaches the registry: then `size_bytes` is what
    the catalog says, or None. `free_bytes` is None where the server's disk cannot be seen.
    """

    ref: str
    name: Ref
    manifest: Manifest | None
    size_bytes: int | None
    here_bytes: int
    folder: Path | None
    free_bytes: int | None
    insecure: bool
    facts: OllamaFacts | None = None

    @property
    def missing_bytes(self) -> int | None:
        """What is still to come; None where the size is unknown."""
        return None if self.size_bytes is None else max(0, self.size_bytes - self.here_bytes)

    @property
    def place(self) -> str:
        """Where it goes, in words."""
        return place(self.facts, self.folder)

    @property
    def command(self) -> str:
        """What fetches it, or the rest of it, at any time, whoever runs by then."""
        engine = "ollama" if self.facts is not None else "embedded"
        more = " --insecure" if self.insecure else ""
        return f"agentlaunch models pull {self.ref} --engine {engine}{more}"

    @property
    def question(self) -> str:
        """What a person is asked first: size, what is there, place and room."""
        size = format_bytes(self.size_bytes) if self.size_bytes else "of unknown size"
        here = f", {format_bytes(self.here_bytes)} of it there already" if self.here_bytes else ""
        free = f" ({format_bytes(self.free_bytes)} free)" if self.free_bytes is not None else ""
        return f"Download {self.ref} ({size}{here}) into {self.place}{free}?"


def place(facts: OllamaFacts | None, folder: Path | None) -> str:
    """Where a model goes, in words; `folder` is ours where `facts` is None."""
    if facts is None:
        return "our store" if folder is None else shown_path(folder)
    if facts.store is not None:
        return f"Ollama's store {shown_path(facts.store.path)}"
    if facts.is_here:
        return "Ollama's store, whose folder and room could not be told"
    return f"the store of Ollama at {facts.client.url}, whose room cannot be seen from here"


def shown_path(path: Path) -> str:
    """A folder as a shell would take it, with `~` for the home: long lines fold badly."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() may raise without a home
    inside = home != Path(home.anchor) and path.is_relative_to(home)
    return str(Path("~") / path.relative_to(home)) if inside else str(path)


def look(
    ref: str,
    paths: Paths,
    known: Catalog | None,
    *,
    facts: OllamaFacts | None,
    insecure: bool,
    size_bytes: int | None = None,
) -> Fetch:
    """Ask the registry what a model consists of, and the disk how much of it is there.

    `facts` is the Ollama server that it goes to, None for our own store; `size_bytes` what is known
    of the size without the registry. Raises `ModelUnavailable`, `NotSupported` for a model that
    runs in a cloud.
    """
    from agentlaunch.models import registry
    from agentlaunch.models.download import Patience

    name = parse_ref(ref)
    if facts is not None and (name.tag == "cloud" or name.tag.endswith("-cloud")):
        raise NotSupported(
            f"{name} runs in Ollama's cloud, not here",
            hint="choose a model that runs here: agentlaunch models",
            code="cloud-model",
        )
    if facts is not None:  # over its interface Ollama loses the `http://` of a name (0.33)
        insecure = insecure or (name.insecure and is_loopback(f"http://{name.host}"))
    manifest: Manifest | None = None
    try:
        # Where Ollama asks anyway, one try of ours is enough.
        patience = Patience() if facts is None else Patience(tries=1)
        manifest = registry.Registry(insecure=insecure, patience=patience).manifest(name)
        size_bytes = manifest.total_bytes
    except ModelUnavailable as error:
        near = known.suggest(str(name)) if known is not None else ()
        if error.code == "unknown-model" and near and known is not None and not known.find(ref):
            error.hint = f"did you mean {', '.join(near)}? See `agentlaunch models`"
        if facts is None or error.code in _GONE_ON:
            raise
    ours = store.Store(paths.models, ours=True)
    here, folder, free = 0, None, None
    if facts is None:
        folder, free = ours.root, files.disk_free_bytes(ours.root)
        here = registry.here_bytes(manifest, ours) if manifest is not None else 0
    elif facts.store is not None:
        folder, free = facts.store.path, facts.store.free_bytes
        if manifest is not None:
            here = sum(there for there, _all in facts.store.layers_here(manifest).values())
    return Fetch(ref, name, manifest, size_bytes, here, folder, free, insecure, facts)


def refuse_offline(ref: str, talk: Talk) -> None:
    """Raise `ModelUnavailable` before the network is touched, where that is not wanted."""
    if talk.policy.offline:
        raise ModelUnavailable(
            f"{ref} is not here, and nothing is downloaded offline",
            hint="run the same command once without --offline",
            code="offline",
        )


def refuse_without_room(fetch: Fetch) -> None:
    """Raise `MachineCannot` with the figures when what is still to come does not fit there."""
    from agentlaunch.models.registry import DISK_MARGIN_BYTES

    missing, free = fetch.missing_bytes, fetch.free_bytes
    if not missing or free is None or free >= missing + DISK_MARGIN_BYTES:
        return
    raise MachineCannot(
        f"{fetch.name} needs {format_bytes(missing)} and {format_bytes(DISK_MARGIN_BYTES)} "
        f"to spare in {fetch.place}, where {format_bytes(free)} are free",
        hint="free some space (`agentlaunch clean` shows what we hold) or choose a smaller model: "
        "agentlaunch models",
        code="no-disk",
    )


def run(fetch: Fetch, talk: Talk, paths: Paths, *, limit_bytes: int | None = None) -> None:
    """Fetch it, watched. Stopped by Ctrl-C or SIGTERM it says how far it came and how to go on.

    `limit_bytes` is what `--yes` agrees to, for a size that only comes to light on the way. Raises
    `ModelUnavailable` for every failure of the download, `MachineCannot` without room, `Refused`.
    """
    refuse_without_room(fetch)
    last = [Progress("", fetch.here_bytes, fetch.size_bytes)]

    def note(report: Progress) -> None:
        total = report.total_bytes
        if total is None:
            return
        last[0] = report
        if talk.policy.yes and limit_bytes is not None and total > limit_bytes:
            raise Refused(
                f"{fetch.name} turned out to be {format_bytes(total)}, more than the "
                f"{format_bytes(limit_bytes)} that --yes agrees to",
                hint=f"agentlaunch config set max_download {total // 10**9 + 1}GB",
                code="download-limit",
            )

    try:
        if fetch.facts is not None:
            talk.follow(noting(_by_ollama(fetch, _started(fetch.facts, talk, paths)), note))
        else:
            talk.follow(noting(_by_us(fetch, paths), note))
    except (KeyboardInterrupt, Terminated):
        _say_stopped(fetch, talk, last[0])
        raise


def _started(facts: OllamaFacts, talk: Talk, paths: Paths) -> OllamaFacts:
    from agentlaunch.engines.ollama import life

    if facts.version is not None:
        return facts
    found = talk.follow(life.start(os.environ, paths))
    talk.say(f"started Ollama {found.version.text}; it goes on when this ends")
    return dataclasses.replace(facts, client=found.client, version=found.version)


def _by_ollama(fetch: Fetch, facts: OllamaFacts) -> Work[None]:
    from agentlaunch.engines.ollama import pull

    layers = None
    if fetch.manifest is not None:
        blobs = {layer.digest: (0, layer.size_bytes) for layer in fetch.manifest.blobs}
        layers = facts.store.layers_here(fetch.manifest) if facts.store is not None else blobs
    yield from pull.pull(facts.client, str(fetch.name), layers=layers, insecure=fetch.insecure)


def _by_us(fetch: Fetch, paths: Paths) -> Work[None]:
    from agentlaunch.models import registry

    target = store.Store(paths.models, ours=True)
    yield from registry.Registry(insecure=fetch.insecure).pull(fetch.name, target)


def _say_stopped(fetch: Fetch, talk: Talk, last: Progress) -> None:
    done, total = last.done_bytes or 0, last.total_bytes
    share = ""
    if total:
        sizes = f"{format_bytes(done)} of {format_bytes(total)}"
        share = f" at {share_text(done, total)} ({sizes})"
    talk.event("stopped", done_bytes=done, total_bytes=total, command=fetch.command)
    talk.say(f"stopped{share}; this goes on where it stopped:")
    talk.say(f"  {fetch.command}", whole=True)
