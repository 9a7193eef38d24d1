"""Manifests before the programs that take them: kubernetes-validate and compose's own schema, and,
where `AGENTLAUNCH_TEST_VALIDATORS` names a folder with their environments, Ray, SkyPilot and vLLM.

`nox -s manifests` makes that folder: `ray/`, `sky/` (virtual environments) and vLLM's wheel.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.hosted import builds, parsers, vllm
from agentlaunch.hosted.serving import Serving, Target, manifest

DATA = Path(__file__).parents[1] / "data" / "hosted"
SMALL = Serving(
    repo="Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8",
    served_name="qwen3-coder-30b",
    context_tokens=131072,
    tensor_parallel=1,
    pipeline_parallel=1,
    replicas=1,
    gpu="H100",
    tool_parser="qwen3_coder",
    reasoning_parser=None,
    max_sessions=8,
    weights_bytes=31_000_000_000,
)
LARGE = dataclasses.replace(
    SMALL,
    served_name="GLM_4.7",
    repo="zai-org/GLM-4.7-FP8",
    tensor_parallel=8,
    replicas=3,
    tool_parser="glm47",
    reasoning_parser="glm45",
    kv_cache_dtype="fp8",
    weights_bytes=None,
    extra_args=("--enable-expert-parallel",),
)
MANY = dataclasses.replace(LARGE, pipeline_parallel=2)
UNKNOWN = dataclasses.replace(SMALL, served_name="1", gpu=None, tool_parser=None)
ONE_MACHINE = pytest.mark.parametrize(
    "serving", [SMALL, LARGE, UNKNOWN], ids=["small", "large", "unknown"]
)
ALL = pytest.mark.parametrize(
    "serving", [SMALL, LARGE, MANY, UNKNOWN], ids=["small", "large", "many", "unknown"]
)

FOLDER = os.environ.get("AGENTLAUNCH_TEST_VALIDATORS", "")
needs_validators = pytest.mark.skipif(
    not FOLDER, reason="AGENTLAUNCH_TEST_VALIDATORS is not set: run `nox -s manifests`"
)


def documents(text: str) -> list[Any]:
    from ruamel.yaml import YAML

    return list(YAML(typ="safe", pure=True).load_all(StringIO(text)))


# --- kubernetes ------------------------------------------------------------------------------


def kubernetes_validate(place: Path, version: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("kubernetes-validate")
    command = [str(program), "--strict", "-k", version, str(place)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@ONE_MACHINE
def test_kubernetes_takes_every_field_of_the_manifest(tmp_path: Path, serving: Serving) -> None:
    place = tmp_path / "kubernetes.yaml"
    place.write_text(manifest("kubernetes", serving))

    for version in ("1.30", "1.37"):
        done = kubernetes_validate(place, version)
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        assert told.count(" passed for resource ") == 3
        assert "WARN" not in told


def test_kubernetes_validate_finds_a_misspelt_field(tmp_path: Path) -> None:
    place = tmp_path / "kubernetes.yaml"
    place.write_text(manifest("kubernetes", SMALL).replace("startupProbe", "startProbe"))

    done = kubernetes_validate(place, "1.37")

    assert done.returncode == 1
    assert "startProbe" in done.stdout + done.stderr


@ONE_MACHINE
def test_names_in_kubernetes_are_labels_of_dns(serving: Serving) -> None:
    import re

    for row in documents(manifest("kubernetes", serving)):
        name = row["metadata"]["name"]
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name), name


# --- compose ---------------------------------------------------------------------------------


def check_compose(place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.compose-spec", str(place)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@ONE_MACHINE
def test_compose_takes_every_field_of_the_manifest(tmp_path: Path, serving: Serving) -> None:
    place = tmp_path / "compose.yaml"
    place.write_text(manifest("compose", dataclasses.replace(serving, replicas=1)))

    done = check_compose(place)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_of_compose_finds_a_misspelt_field(tmp_path: Path) -> None:
    place = tmp_path / "compose.yaml"
    place.write_text(manifest("compose", SMALL).replace("entrypoint:", "entripoint:"))

    done = check_compose(place)

    assert done.returncode == 1
    assert "entripoint" in done.stdout


# --- the others, against every key that was looked up ----------------------------------------


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value with its path and type; an empty mapping or list is a value."""
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from leaves(below, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for below in value:
            yield from leaves(below, f"{path}[]")
    else:
        yield path, "{}" if value == {} else type(value).__name__


def strangers(target: Target, text: str) -> list[str]:
    """What the table of a target does not have, or has as another type."""
    known: Mapping[str, str] = json.loads((DATA / "keys.json").read_bytes())[target]["keys"]
    free = {path.removesuffix("*"): kind for path, kind in known.items() if path.endswith(".*")}
    wrong = []
    for row in documents(text):
        for path, kind in leaves(row):
            wanted = known.get(path) or next(
                (of for start, of in free.items() if path.startswith(start)), None
            )
            if wanted != kind:
                wrong.append(f"{path}: {kind}")
    return wrong


@ALL
@pytest.mark.parametrize("target", ["production-stack", "kserve", "ray", "skypilot"])
def test_no_key_is_one_that_nobody_looked_up(target: Target, serving: Serving) -> None:
    if target in {"production-stack", "kserve"} and serving is MANY:
        pytest.skip("one machine only")

    assert strangers(target, manifest(target, serving)) == []


def test_a_misspelt_key_or_a_number_as_a_text_is_found() -> None:
    text = manifest("ray", SMALL)

    assert strangers("ray", text.replace("proxy_location", "proxi_location")) == [
        "proxi_location: str"
    ]
    assert strangers("ray", text.replace("port: 8000", 'port: "8000"')) == [
        "http_options.port: str"
    ]


def test_every_build_of_a_plan_has_a_manifest_for_every_target() -> None:
    for build in builds.load():
        serving = dataclasses.replace(
            SMALL,
            repo=build.repo,
            served_name=build.served_name,
            tool_parser=parsers.tool_parser(build.repo),
            reasoning_parser=parsers.reasoning_parser(build.repo),
            weights_bytes=build.weights_bytes,
        )
        for target in ("compose", "kubernetes", "production-stack", "kserve", "ray", "skypilot"):
            assert "NO TOOL PARSER" not in manifest(target, serving)


# --- their own validators --------------------------------------------------------------------

RAY = """
import json, sys, yaml
from ray.serve.schema import ServeDeploySchema
made = ServeDeploySchema.model_validate(yaml.safe_load(open(sys.argv[1])))
(app,) = made.applications
print(json.dumps([made.http_options.host, app.import_path, app.args["llm_configs"][0]]))
"""
SKY = """
import json, sys, sky
task = sky.Task.from_yaml(sys.argv[1])
(machine,) = task.resources
print(json.dumps([task.num_nodes, machine.accelerators, machine.ports, task.service.min_replicas]))
"""


def ask(name: str, script: str, place: Path) -> subprocess.CompletedProcess[str]:
    python = Path(FOLDER) / name / "bin" / "python"
    command = [str(python), "-c", script, str(place)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@needs_validators
@ALL
def test_ray_takes_the_file(tmp_path: Path, serving: Serving) -> None:
    place = tmp_path / "ray.yaml"
    place.write_text(manifest("ray", serving))

    done = ask("ray", RAY, place)

    assert done.returncode == 0, done.stderr
    host, imported, model = json.loads(done.stdout.splitlines()[-1])
    assert (host, imported) == ("127.0.0.1", "ray.serve.llm:build_openai_app")
    assert model["model_loading_config"]["model_source"] == serving.repo


@needs_validators
def test_ray_refuses_a_file_without_its_application(tmp_path: Path) -> None:
    place = tmp_path / "ray.yaml"
    place.write_text(manifest("ray", SMALL).replace("import_path", "importpath"))

    done = ask("ray", RAY, place)

    assert done.returncode == 1
    assert "import_path" in done.stderr


@needs_validators
@ALL
def test_skypilot_takes_the_file(tmp_path: Path, serving: Serving) -> None:
    place = tmp_path / "sky.yaml"
    place.write_text(manifest("skypilot", serving))

    done = ask("sky", SKY, place)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        serving.pipeline_parallel,
        {serving.gpu or "H100": serving.tensor_parallel},
        ["8000"],
        serving.replicas,
    ]


@needs_validators
def test_skypilot_refuses_a_misspelt_key(tmp_path: Path) -> None:
    place = tmp_path / "sky.yaml"
    place.write_text(manifest("skypilot", SMALL).replace("readiness_probe", "readyness_probe"))

    done = ask("sky", SKY, place)

    assert done.returncode == 1
    assert "readiness_probe" in done.stderr


@needs_validators
def test_the_names_that_are_recorded_are_those_of_vllms_wheel() -> None:
    (wheel,) = Path(FOLDER).glob(f"vllm-{vllm.VERSION}-*.whl")
    recorded = json.loads((DATA / "vllm-0.33.0.json").read_bytes())
    table = parsers.load()
    with zipfile.ZipFile(wheel) as packed:

        def source(name: str) -> ast.Module:
            return ast.parse(packed.read(f"vllm/{name}"))

        tools = registered(source("tool_parsers/__init__.py"))
        thoughts = registered(source("reasoning/__init__.py"))
        options = said_options(source("engine/arg_utils.py")) | said_options(
            source("entrypoints/common/cli_args.py")
        )
    assert tools == table.tool_parsers
    assert thoughts == table.reasoning_parsers
    assert options == set(recorded["options"])


def registered(tree: ast.Module) -> set[str]:
    """Keys of the one table that the module has."""
    (table,) = [row.value for row in tree.body if isinstance(row, ast.Assign)
                and isinstance(row.value, ast.Dict)]  # fmt: skip
    return {ast.literal_eval(key) for key in table.keys if key is not None}


def said_options(tree: ast.Module) -> set[str]:
    """Options that are added by name, and fields of the front's dataclasses."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            words = [row.value for row in node.args if isinstance(row, ast.Constant)]
            found |= {word for word in words if isinstance(word, str) and word.startswith("--")}
        elif isinstance(node, ast.ClassDef) and node.name.endswith("FrontendArgs"):
            fields = [row.target for row in node.body if isinstance(row, ast.AnnAssign)]
            names = [row.id for row in fields if isinstance(row, ast.Name)]
            found |= {f"--{name.replace('_', '-')}" for name in names}
    return found
