"""Manifests: what is told is what stands in the file, whatever the names are."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlaunch import commented_yaml
from agentlaunch.commented_yaml import Noted, Script
from agentlaunch.errors import AgentlaunchError, NotSupported, UsageError
from agentlaunch.hosted import builds, parsers, vllm
from agentlaunch.hosted.serving import TARGETS, Serving, Target, manifest

DATA = Path(__file__).parents[2] / "data" / "hosted"
TEAM = Serving(
    repo="Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8",
    served_name="al-main",
    context_tokens=131072,
    tensor_parallel=2,
    pipeline_parallel=1,
    replicas=2,
    gpu="H100",
    tool_parser="qwen3_coder",
    reasoning_parser="qwen3",
    max_sessions=8,
    weights_bytes=31_000_000_000,
    kv_cache_dtype="fp8",
    extra_args=("--enable-expert-parallel",),
)
MANY = dataclasses.replace(TEAM, pipeline_parallel=2, tensor_parallel=8, replicas=1)
OPTIONS = {
    "--served-model-name": "al-main",
    "--max-model-len": "131072",
    "--max-num-seqs": "32",
    "--gpu-memory-utilization": "0.9",
    "--enable-prefix-caching": True,
    "--tensor-parallel-size": "2",
    "--kv-cache-dtype": "fp8",
    "--enable-auto-tool-choice": True,
    "--tool-call-parser": "qwen3_coder",
    "--reasoning-parser": "qwen3",
    "--enable-expert-parallel": True,
}
LISTENING = {"--host": "0.0.0.0", "--port": "8000"}
ONE_MACHINE: tuple[Target, ...] = ("compose", "kubernetes", "production-stack", "kserve")


def documents(text: str, version: tuple[int, int] = (1, 2)) -> list[Any]:
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=True)
    reader.version = version
    return list(reader.load_all(StringIO(text)))


def document(target: Target, serving: Serving) -> Any:
    (only,) = documents(manifest(target, serving))
    return only


def options(words: list[str]) -> dict[str, str | bool]:
    """A command line as options; a word without dashes is the value of the one before."""
    found: dict[str, str | bool] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            found[name] = value or True
        else:
            assert found[name] is True, f"{word} follows {name}, which has a value"
            found[name] = word
    return found


def sky_words(task: Any) -> list[str]:
    lines = task["run"].replace("\\\n", " ").splitlines()
    (line,) = [line for line in lines if line.startswith("vllm serve")]
    return shlex.split(line)


def test_the_type_of_a_target_and_the_list_of_targets_are_one() -> None:
    assert get_args(Target) == TARGETS


def test_compose_gives_each_replica_its_own_gpus_and_its_own_port_on_this_machine_only() -> None:
    services = document("compose", TEAM)["services"]

    assert list(services) == ["vllm-1", "vllm-2"]
    assert [service["ports"] for service in services.values()] == [
        ["127.0.0.1:8000:8000"],
        ["127.0.0.1:8001:8000"],
    ]
    cards = [
        service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for service in services.values()
    ]
    assert cards == [["0", "1"], ["2", "3"]]
    for service in services.values():
        assert service["entrypoint"] == ["vllm", "serve"]
        assert service["command"][0] == TEAM.repo
        assert options(service["command"][1:]) == LISTENING | OPTIONS


def test_compose_counts_the_gpus_of_a_single_replica() -> None:
    services = document("compose", dataclasses.replace(TEAM, replicas=1))["services"]

    (device,) = services["vllm"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}


def test_compose_takes_no_more_gpus_than_a_machine_has() -> None:
    with pytest.raises(NotSupported, match="5 x 2 are 10") as caught:
        manifest("compose", dataclasses.replace(TEAM, replicas=5))

    assert caught.value.hint == "--target kubernetes, or fewer: --replicas 4"


def test_kubernetes_is_a_claim_a_deployment_and_a_service_in_the_cluster_only() -> None:
    claim, deployment, service = documents(manifest("kubernetes", TEAM))

    assert (claim["kind"], deployment["kind"], service["kind"]) == (
        "PersistentVolumeClaim",
        "Deployment",
        "Service",
    )
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["args"][0] == TEAM.repo
    assert options(container["args"][1:]) == LISTENING | OPTIONS
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    chosen = deployment["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= pod["metadata"]["labels"].items()
    (volume,) = [row for row in pod["spec"]["volumes"] if "persistentVolumeClaim" in row]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/health"
        assert container[probe]["httpGet"]["port"] in ports


def test_kubernetes_gives_the_first_start_half_an_hour_and_more() -> None:
    _claim, deployment, _service = documents(manifest("kubernetes", TEAM))

    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800
    assert deployment["spec"]["progressDeadlineSeconds"] >= 1800


def test_large_weights_have_the_time_that_their_download_takes() -> None:
    large = dataclasses.replace(TEAM, replicas=1, weights_bytes=673_000_000_000)

    container = documents(manifest("kubernetes", large))[1]["spec"]["template"]["spec"][
        "containers"
    ]
    probe = container[0]["startupProbe"]
    assert (
        probe["periodSeconds"] * probe["failureThreshold"] == 9000
    )  # 6730 s at 100 MB/s, and 1800
    compose = document("compose", large)["services"]["vllm"]
    assert compose["healthcheck"]["start_period"] == "9000s"
    assert (
        document("skypilot", large)["service"]["readiness_probe"]["initial_delay_seconds"] == 9000
    )


def test_the_key_of_compose_is_written_over_no_file_that_is_there(tmp_path: Path) -> None:
    lines = [line.removeprefix("#") for line in manifest("compose", TEAM).splitlines()]
    at = next(at for at, line in enumerate(lines) if "umask 077" in line)
    (tmp_path / ".env").write_text("MINE=1\n")
    words = ["bash", "-c", "\n".join(lines[at : at + 2])]

    assert subprocess.run(words, cwd=tmp_path, check=False, capture_output=True).returncode != 0
    assert (tmp_path / ".env").read_text() == "MINE=1\n"
    (tmp_path / ".env").unlink()
    assert subprocess.run(words, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("replicas", "mode"), [(1, "ReadWriteOnce"), (3, "ReadWriteMany")])
def test_kubernetes_asks_for_a_shared_claim_only_where_it_is_shared(
    replicas: int, mode: str
) -> None:
    text = manifest("kubernetes", dataclasses.replace(TEAM, replicas=replicas))

    assert documents(text)[0]["spec"]["accessModes"] == [mode]


def test_the_production_stack_keeps_prefix_caching_which_its_chart_would_turn_off() -> None:
    values = document("production-stack", TEAM)

    assert values["servingEngineSpec"]["strategy"] == {"type": "Recreate"}
    (model,) = values["servingEngineSpec"]["modelSpec"]
    config = model["vllmConfig"]
    assert config["enablePrefixCaching"] is True
    assert (model["enableTool"], model["toolCallParser"]) == (True, "qwen3_coder")
    assert (config["maxModelLen"], config["tensorParallelSize"], config["maxNumSeqs"]) == (
        131072,
        2,
        32,
    )
    assert options(config["extraArgs"]) == {
        "--served-model-name": "al-main",
        "--kv-cache-dtype": "fp8",
        "--reasoning-parser": "qwen3",
        "--enable-expert-parallel": True,
    }


def test_kserve_names_the_model_itself_and_takes_the_rest_as_words() -> None:
    spec = document("kserve", TEAM)["spec"]

    assert spec["model"] == {"uri": f"hf://{TEAM.repo}", "name": "al-main"}
    (container,) = spec["template"]["containers"]
    words = {row["name"]: row.get("value") for row in container["env"]}["VLLM_ADDITIONAL_ARGS"]
    rest = {name: value for name, value in OPTIONS.items() if name != "--served-model-name"}
    assert options(shlex.split(words)) == rest
    assert "worker" not in spec
    assert "parallelism" not in spec


def test_kserve_starts_vllms_image_as_its_user_since_it_lets_none_be_root() -> None:
    (container,) = document("kserve", TEAM)["spec"]["template"]["containers"]

    assert container["securityContext"] == {"runAsUser": 2000, "runAsGroup": 0}


def test_kserve_says_how_its_own_download_gets_the_token() -> None:
    lines = manifest("kserve", TEAM).splitlines()

    (line,) = [line for line in lines if "patch serviceaccount" in line]
    words = shlex.split(line.removeprefix("#"))
    assert json.loads(words[-1]) == {"secrets": [{"name": "al-main-keys"}]}


def test_ray_has_the_parser_among_the_engines_options_and_answers_on_this_machine_only() -> None:
    config = document("ray", TEAM)

    assert config["http_options"] == {"host": "127.0.0.1", "port": 8000}
    (model,) = config["applications"][0]["args"]["llm_configs"]
    assert model["model_loading_config"] == {"model_id": "al-main", "model_source": TEAM.repo}
    assert model["deployment_config"] == {"num_replicas": 2}
    assert model["accelerator_type"] == "H100"
    assert model["engine_kwargs"] == {
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 1,
        "max_model_len": 131072,
        "max_num_seqs": 32,
        "gpu_memory_utilization": 0.9,
        "enable_prefix_caching": True,
        "kv_cache_dtype": "fp8",
        "enable_auto_tool_choice": True,
        "tool_call_parser": "qwen3_coder",
        "reasoning_parser": "qwen3",
        "enable_expert_parallel": True,
    }


def test_ray_says_in_words_which_agents_its_own_front_does_not_serve() -> None:
    text = manifest("ray", TEAM)

    assert "Claude Code needs /v1/messages, Codex /v1/responses" in text
    assert "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING=1" in text


def test_ray_is_not_given_a_parser_that_the_vllm_it_pins_does_not_have() -> None:
    newer = dataclasses.replace(TEAM, tool_parser="deepseek_v41", reasoning_parser=None)

    with pytest.raises(NotSupported, match=r"0\.29\.0, which has no parser deepseek_v41"):
        manifest("ray", newer)
    assert "deepseek_v41" in manifest("kubernetes", newer)


@pytest.mark.parametrize(
    ("gpu", "word"),
    [("A100-80GB", "A100"), ("RTXPRO6000", "RTX-PRO-6000"), ("RTX4090", None), (None, None)],
)
def test_ray_is_told_a_gpu_in_its_own_words_or_none(gpu: str | None, word: str | None) -> None:
    config = document("ray", dataclasses.replace(TEAM, gpu=gpu))

    assert config["applications"][0]["args"]["llm_configs"][0].get("accelerator_type") == word


def test_skypilot_asks_for_the_gpus_of_one_machine_and_runs_the_same_command() -> None:
    task = document("skypilot", TEAM)

    assert task["resources"]["accelerators"] == "H100:2"
    assert task["service"]["replicas"] == 2
    assert task["envs"]["MODEL_ID"] == TEAM.repo
    assert task["secrets"] == {"VLLM_API_KEY": None, "HF_TOKEN": None}
    assert "num_nodes" not in task
    words = sky_words(task)
    assert words[:3] == ["vllm", "serve", "$MODEL_ID"]
    assert options(words[3:]) == LISTENING | OPTIONS


def test_skyserve_waits_for_a_long_prompt() -> None:
    assert document("skypilot", TEAM)["service"]["load_balancer"] == {
        "stream_timeout_seconds": 1800
    }


def test_skypilot_over_several_machines_tells_each_its_rank() -> None:
    task = document("skypilot", MANY)

    assert task["num_nodes"] == 2
    assert task["resources"]["accelerators"] == "H100:8"
    words = sky_words(task)
    assert words.pop() == "$ONLY_COMPUTE"
    assert options(words[3:]) == LISTENING | OPTIONS | {
        "--tensor-parallel-size": "8",
        "--pipeline-parallel-size": "2",
        "--nnodes": "$SKYPILOT_NUM_NODES",
        "--node-rank": "$SKYPILOT_NODE_RANK",
        "--master-addr": "$HEAD",
        "--master-port": "29500",
    }


@pytest.mark.parametrize(
    ("serving", "rank", "alone"), [(TEAM, 0, True), (MANY, 0, True), (MANY, 1, False)]
)
def test_the_script_of_skypilot_runs_vllm_and_only_the_first_machine_answers(
    tmp_path: Path, serving: Serving, rank: int, alone: bool
) -> None:
    fake = tmp_path / "vllm"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "MODEL_ID": serving.repo,
        "VLLM_API_KEY": "key",
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
        "SKYPILOT_NODE_RANK": str(rank),
        "SKYPILOT_NUM_NODES": "2",
    }
    script = document("skypilot", serving)["run"]

    done = subprocess.run(
        ["bash", "-euc", script], env=environment, capture_output=True, text=True, check=True
    )

    words = done.stdout.splitlines()
    assert words[:2] == ["serve", serving.repo]
    found = options(words[2:])
    assert ("--headless" not in found) is alone
    if serving is MANY:
        assert (found["--master-addr"], found["--nnodes"]) == ("10.0.0.1", "2")
        assert found["--node-rank"] == str(rank)


@pytest.mark.parametrize("serving", [TEAM, MANY])
def test_skypilot_starts_nothing_without_a_key(serving: Serving) -> None:
    script = document("skypilot", serving)["run"].replace("vllm serve", "echo vllm serve")

    done = subprocess.run(
        ["bash", "-c", script], env={"VLLM_API_KEY": ""}, capture_output=True, check=False
    )

    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize("target", ["kubernetes", "kserve", "production-stack"])
@pytest.mark.parametrize("works", [True, False])
def test_no_secret_is_made_where_no_key_could_be(
    tmp_path: Path, target: Target, *, works: bool
) -> None:
    lines = [line.removeprefix("#") for line in manifest(target, TEAM).splitlines()]
    at = next(at for at, line in enumerate(lines) if "openssl" in line)
    for name, script in {"openssl": "echo 12" if works else "exit 1", "kubectl": "cat"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    script = "\n".join(lines[at : at + 3]).replace("/dev/stdin", "-")

    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == ("VLLM_API_KEY=12\nHF_TOKEN=\n" if works else "")


def test_a_family_that_needs_more_says_so_in_the_file() -> None:
    llama = dataclasses.replace(
        TEAM, repo="meta-llama/Llama-3.3-70B-Instruct", tool_parser="llama3_json"
    )

    assert "--chat-template" in manifest("compose", llama)
    assert "--chat-template" not in manifest("compose", TEAM)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("repo", "template"),
    [
        ("deepseek-ai/DeepSeek-V3.1", "tool_chat_template_deepseekv31.jinja"),
        ("google/gemma-4-31B-it", "tool_chat_template_gemma4.jinja"),
    ],
)
def test_a_model_whose_own_template_knows_no_tools_is_told_the_one_that_does(
    target: Target, repo: str, template: str
) -> None:
    text = manifest(target, dataclasses.replace(TEAM, repo=repo))

    line = f"#   --chat-template /vllm-workspace/examples/{template}"
    assert line in text.partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("target", ONE_MACHINE)
def test_a_model_over_several_machines_is_refused_with_the_targets_that_can(target: Target) -> None:
    with pytest.raises(NotSupported) as caught:
        manifest(target, MANY)

    assert caught.value.hint is not None
    for other in ("ray", "skypilot"):
        assert other in caught.value.hint
        assert documents(manifest(other, MANY))


# --- what holds for every target -------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_no_key_stands_in_a_file_and_statistics_are_off(target: Target) -> None:
    text = manifest(target, TEAM)

    assert dict(keys_said(documents(text))) == {
        name: value
        for name, value in {
            "VLLM_API_KEY": "${VLLM_API_KEY:?see this file}" if target == "compose" else None,
            "HF_TOKEN": "${HF_TOKEN:-}" if target == "compose" else None,
        }.items()
        if target in {"compose", "skypilot"}
    }
    assert "VLLM_NO_USAGE_STATS" in text
    assert "--api-key" not in text
    assert "VLLM_API_KEY" in text


def keys_said(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key or token with the value that the file itself has for it."""
    if isinstance(value, Mapping):
        if value.get("name") in {"VLLM_API_KEY", "HF_TOKEN"} and "value" in value:
            yield value["name"], value["value"]
        for name, below in value.items():
            if name in {"VLLM_API_KEY", "HF_TOKEN"}:
                yield name, below
            yield from keys_said(below)
    elif isinstance(value, list):
        for below in value:
            yield from keys_said(below)


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_says_how_to_start_it_and_how_to_point_agentlaunch_at_it(target: Target) -> None:
    lines = manifest(target, TEAM).splitlines()
    remarks = "\n".join(line for line in lines if line.startswith("#"))

    assert "agentlaunch config set hosted_url http" in remarks
    assert "agentlaunch up claude-code --engine hosted" in remarks
    assert "THIS_FILE" in remarks
    assert "2 replicas x 2 tensor parallel x 1 stage = 4 x H100" in remarks


@pytest.mark.parametrize("target", TARGETS)
def test_an_unknown_model_gets_no_parser_and_a_word_about_it(target: Target) -> None:
    unknown = dataclasses.replace(TEAM, tool_parser=None, reasoning_parser=None, weights_bytes=None)

    text = manifest(target, unknown)

    values = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert "tool" not in values.lower().replace("tooling", "")
    assert "reasoning" not in values
    assert "NO TOOL PARSER" in text
    assert "NO TOOL PARSER" not in manifest(target, TEAM)


@pytest.mark.parametrize("target", TARGETS)
def test_every_option_is_one_that_vllm_has(target: Target) -> None:
    known = json.loads((DATA / "vllm-0.33.0.json").read_bytes())
    assert known["version"] == vllm.VERSION
    shapes = [TEAM] if target in ONE_MACHINE else [TEAM, MANY]

    for serving in shapes:
        assert said(target, documents(manifest(target, serving))) <= set(known["options"])


def said(target: Target, files: list[Any]) -> set[str]:
    if target == "ray":
        kwargs = files[0]["applications"][0]["args"]["llm_configs"][0]["engine_kwargs"]
        return {f"--{name.replace('_', '-')}" for name in kwargs}
    words = (
        json.dumps(files[0]["run"] if target == "skypilot" else files)
        .replace('"', " ")
        .replace("\\n", " ")
        .replace("=", " ")
        .replace(";", " ")
        .split()
    )
    return {word for word in words if word.startswith("--")}


# --- hostile names ---------------------------------------------------------------------------

HOSTILE = [
    'a/b"c',
    "a/b: c",
    "a/{{ .Values.x }}",
    "a/b\nkind: Secret",
    "a/$(touch x)",
    "a/${HOME}",
    "a/b c",
    "a/b#c",
    "a/é",
    "../../etc/passwd",
    "a",
    "",
    "a/b/c",
    "-a/b",
    "a/b\n",
]


@pytest.mark.parametrize("repo", HOSTILE)
def test_a_repository_that_is_none_is_refused(repo: str) -> None:
    with pytest.raises(UsageError):
        manifest("kubernetes", dataclasses.replace(TEAM, repo=repo))


@pytest.mark.parametrize(
    "wrong",
    [
        {"served_name": "a/b"},
        {"served_name": "a\nb"},
        {"served_name": "x" * 64},
        {"served_name": "-"},
        {"gpu": "H100\n"},
        {"gpu": "H100: 8"},
        {"kv_cache_dtype": "fp8; rm"},
        {"tool_parser": "qwen4_coder"},
        {"reasoning_parser": "openai"},
        {"extra_args": ("--chat-template={{x}}",)},
        {"extra_args": ("$(id)",)},
        {"replicas": 0},
        {"tensor_parallel": 0},
        {"pipeline_parallel": -1},
        {"context_tokens": 0},
        {"max_sessions": 0},
    ],
    ids=str,
)
def test_a_value_that_could_say_more_than_it_should_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        manifest("kserve", dataclasses.replace(TEAM, **wrong))


def test_a_misspelt_parser_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match="no tool parser 'qwen3_code'") as caught:
        manifest("compose", dataclasses.replace(TEAM, tool_parser="qwen3_code"))

    assert caught.value.hint is not None
    assert caught.value.hint.startswith("--tool-parser qwen3_coder")


def test_a_target_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="'nomad' is not known"):
        manifest("nomad", TEAM)


WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
NAMES = st.one_of(
    st.sampled_from(
        ["yes", "No", "null", "true", "1e5", "0x1F", "1_000", "7", "1.5", "2026-01-01"]
    ),
    st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True),
)
KNOWN = parsers.load()
SERVINGS = st.builds(
    Serving,
    repo=st.builds("{}/{}".format, WORD, WORD | NAMES),
    served_name=NAMES,
    context_tokens=st.integers(1, 10_000_000),
    tensor_parallel=st.integers(1, 64),
    pipeline_parallel=st.integers(1, 16),
    replicas=st.integers(1, 20),
    gpu=st.none() | st.sampled_from(["H100", "A100-80GB", "no", "4090"]),
    tool_parser=st.none() | st.sampled_from(sorted(KNOWN.tool_parsers)),
    reasoning_parser=st.none() | st.sampled_from(sorted(KNOWN.reasoning_parsers)),
    max_sessions=st.integers(1, 4096),
    weights_bytes=st.none() | st.integers(0, 10**13),
    kv_cache_dtype=st.sampled_from(["auto", "fp8"]),
    extra_args=st.sampled_from([(), ("--enable-expert-parallel",), ("--seed", "7")]),
)


@settings(max_examples=40, deadline=None)
@given(serving=SERVINGS, target=st.sampled_from(TARGETS))
def test_any_serving_is_what_a_reader_of_yaml_finds_again(serving: Serving, target: Target) -> None:
    try:
        text = manifest(target, serving)
    except NotSupported:
        return
    files = documents(text)
    assert documents(text, (1, 1)) == files
    repo, name = model_of(target, files)
    assert (repo, name) == (serving.repo, serving.served_name)
    assert gpus_of(target, files) == serving.tensor_parallel


def model_of(target: Target, files: list[Any]) -> tuple[str, str]:
    if target == "ray":
        loading = files[0]["applications"][0]["args"]["llm_configs"][0]["model_loading_config"]
        return loading["model_source"], loading["model_id"]
    if target == "kserve":
        model = files[0]["spec"]["model"]
        return model["uri"].removeprefix("hf://"), model["name"]
    if target == "production-stack":
        (model,) = files[0]["servingEngineSpec"]["modelSpec"]
        return model["modelURL"], after(model["vllmConfig"]["extraArgs"])
    if target == "skypilot":
        return files[0]["envs"]["MODEL_ID"], after(sky_words(files[0]))
    if target == "compose":
        words = next(iter(files[0]["services"].values()))["command"]
    else:
        words = files[1]["spec"]["template"]["spec"]["containers"][0]["args"]
    return words[0], after(words)


def after(words: list[str], option: str = "--served-model-name") -> str:
    return words[words.index(option) + 1]


def gpus_of(target: Target, files: list[Any]) -> int:
    if target == "ray":
        kwargs = files[0]["applications"][0]["args"]["llm_configs"][0]["engine_kwargs"]
        return int(kwargs["tensor_parallel_size"])
    if target == "production-stack":
        return int(files[0]["servingEngineSpec"]["modelSpec"][0]["requestGPU"])
    if target == "skypilot":
        return int(files[0]["resources"]["accelerators"].rpartition(":")[2])
    if target == "compose":
        service = next(iter(files[0]["services"].values()))
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        return device["count"] if "count" in device else len(device["device_ids"])
    pod = files[1]["spec"]["template"]["spec"] if target == "kubernetes" else None
    pod = pod or files[0]["spec"]["template"]
    return int(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])


# --- the writer of YAML ----------------------------------------------------------------------

TEXTS = st.text(max_size=20)
KEYS = st.text(min_size=1, max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
TREES = st.recursive(
    SCALARS,
    lambda below: st.dictionaries(KEYS, below, max_size=3) | st.lists(SCALARS, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=3), TEXTS)
def test_any_tree_comes_back_and_no_comment_becomes_a_value(
    tree: dict[str, Any], remark: str
) -> None:
    noted = {name: Noted(remark, value) for name, value in tree.items()}

    text = commented_yaml.document(remark, noted)
    assert documents(text) == [tree]
    assert documents(text, (1, 1)) == [tree]


def test_a_script_keeps_its_lines_and_a_list_of_mappings_its_comments() -> None:
    text = commented_yaml.document(
        "head",
        {
            "run": Script(('echo "a: b" \\', "  # not a comment of YAML", "done")),
            "rows": [Noted("first", {"a": Noted("of a", 1), "b": {}}), {"c": []}],
        },
    )

    assert text == (
        "# head\n"
        "run: |\n"
        '  echo "a: b" \\\n'
        "    # not a comment of YAML\n"
        "  done\n"
        "rows:\n"
        "  # first\n"
        "  # of a\n"
        "  - a: 1\n"
        "    b: {}\n"
        "  - c: []\n"
    )


# --- parsers ---------------------------------------------------------------------------------


def test_every_parser_of_the_table_is_one_that_this_vllm_has() -> None:
    table = parsers.load()

    assert table.vllm == vllm.VERSION
    tools = {row.tool_parser for row in table.families}
    thoughts = {row.reasoning_parser for row in table.families}
    assert tools - table.tool_parsers <= {None}
    assert thoughts - table.reasoning_parsers <= {None}
    assert not (tools | thoughts) & table.not_in_ray_vllm
    assert table.not_in_ray_vllm <= table.tool_parsers | table.reasoning_parsers
    assert all(row.source for row in table.families)


def test_every_build_that_a_plan_offers_has_a_tool_parser() -> None:
    assert [row.repo for row in builds.load() if parsers.tool_parser(row.repo) is None] == []


@pytest.mark.parametrize(
    ("name", "tool", "reasoning"),
    [
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", "qwen3_coder", None),
        ("qwen3-coder:30b", "qwen3_coder", None),
        ("RedHatAI/Qwen3.6-27B-quantized.w4a16", "qwen3_coder", "qwen3"),
        ("openai/gpt-oss-120b", "openai", "openai_gptoss"),
        ("zai-org/GLM-4.5-Air-FP8", "glm45", "glm45"),
        ("zai-org/GLM-4.7-FP8", "glm47", "glm45"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek_v3", None),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v31", "deepseek_v3"),
        ("deepseek-ai/DeepSeek-V3.2", "deepseek_v32", "deepseek_v3"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek_v3", "deepseek_r1"),
        ("moonshotai/Kimi-K2-Instruct", "kimi_k2", "kimi_k2"),
        ("mistralai/Devstral-Small-2-24B-Instruct-2512", "mistral", None),
        ("mistralai/Magistral-Small-2509", "mistral", "mistral"),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "hermes", None),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-FP8", "qwen3_coder", "nemotron_v3"),
        # Close to a known family, and still another one.
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", None, None),
        ("deepseek-r1:32b", None, None),
        ("nvidia/Nemotron-3.5-Lightning-30B", None, None),
        ("acme/Coder-9000", None, None),
        ("qwen3-coder/something-else", None, None),
        ("acme/not-a-hermes", None, None),
        ("", None, None),
    ],
)
def test_a_parser_is_found_by_the_models_name_and_never_guessed(
    name: str, tool: str | None, reasoning: str | None
) -> None:
    assert (parsers.tool_parser(name), parsers.reasoning_parser(name)) == (tool, reasoning)


def test_every_refusal_has_a_way_out() -> None:
    for target in ONE_MACHINE:
        with pytest.raises(AgentlaunchError) as caught:
            manifest(target, MANY)
        assert caught.value.hint
