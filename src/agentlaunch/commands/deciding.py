"""What was asked for, as a plan: on one engine or over several endpoints, within the rules."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch import plan
from agentlaunch.commands import looking, ruling
from agentlaunch.commands.looking import Asked
from agentlaunch.engines import remote
from agentlaunch.errors import MachineCannot
from agentlaunch.gateway.routes import Routes, Word
from agentlaunch.talk import Talk


def decide(talk: Talk, asked: Asked) -> plan.LaunchPlan:
    """The plan, whichever engines it takes.

    Raises `Refused` for what a rule forbids, however it was chosen.
    """
    looking.refuse_project_endpoint(asked.model)
    if asked.routes is None:  # else each endpoint is judged for itself
        looking.judge(asked)
    known = asked.survey.catalog
    try:
        made = ruling.plan_of(asked.rules, _decided(talk, asked), known)
    except MachineCannot as error:
        if not _chooses(asked):
            raise
        raise ruling.nothing_fits(asked.rules, asked.survey, error) from error
    if _chooses(asked) and made.choice is not None:
        return replace(made, because=(*made.because, *ruling.because(asked.rules)))
    return made


def _chooses(asked: Asked) -> bool:
    return asked.wish.model is None and asked.server is None and asked.routes is None


def _decided(talk: Talk, asked: Asked) -> plan.LaunchPlan:
    routes = asked.routes
    if routes is None and asked.rules.cap is not None and _is_managed(asked.server):
        routes = _alone(asked)  # somebody must count the calls
    if routes is None:
        return looking.on_one_engine(talk, asked)
    from agentlaunch.commands import hybrid  # its rooms cost milliseconds that few need pay

    return hybrid.decide(talk, asked, routes)


def _is_managed(server: remote.Target | None) -> bool:
    return server is not None and server.preset is not None and server.preset.hosted


def _alone(asked: Asked) -> Routes:
    """The one endpoint that was named, as a chain."""
    word = Word(asked.engine, asked.wish.model, asked.wish.context_tokens)
    return Routes((word,))
