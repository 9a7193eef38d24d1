"""Sizing for a team: cache, weights, splits and layouts against what vLLM and its docs say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agentlaunch.machine
from agentlaunch.errors import ModelUnavailable, UsageError
from agentlaunch.hosted import builds, gpus, parsers, reasons, sizing
from agentlaunch.hosted.builds import Build
from agentlaunch.hosted.sizing import Layout, Miss, Split, Wanted
from agentlaunch.models import catalog
from agentlaunch.models.shape import LayerCache, ModelShape

GIB = 2**30
LONG = 131_072

CODER_BF16 = "Qwen/Qwen3-Coder-30B-A3B-Instruct"
BIG_BF16 = "Qwen/Qwen3-Coder-480B-A35B-Instruct"


def _bf16(model: str) -> Build:
    entry = catalog.load().get(model).model
    return Build(model, f"owner/{model}", "bf16", entry.shape, entry.context_max_tokens)


def _layout(model: str, gpu: str, sessions: int = 1, context: int = LONG) -> Layout:
    found = sizing.best(builds.find(model), gpus.find(gpu), Wanted(sessions, context))
    assert isinstance(found, Layout)
    return found


# --- cache and weights ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "context", "gib"),
    [
        # "62.00 GiB KV cache is needed" (pull request 12 of vllm-project/recipes)
        (builds.find("qwen3-coder:480b"), 262_144, 62.0),
        # "24.00 GiB KV cache is needed", Qwen2.5-14B: the same shape
        (_bf16("qwen2.5-coder:14b"), 131_072, 24.0),
        # "4.50 GiB KV cache is needed", DeepSeek-R1-0528-Qwen3-8B: the same shape
        (_bf16("qwen3:8b"), 32_768, 4.5),
    ],
)
def test_a_session_takes_what_vllm_says_is_needed(build: Build, context: int, gib: float) -> None:
    assert sizing.session_bytes(build, Wanted(1, context)) == gib * GIB


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("qwen3-coder:30b", 98_304),
        ("qwen3-coder:480b", 253_952),
        ("gpt-oss:120b", 73_728 // 2),  # every other layer has a window
        ("gpt-oss:20b", 49_152 // 2),
        ("qwen3.8:27b", 65_536),  # 16 of its 64 layers attend
        ("deepseek-v3.1:671b", 61 * 576 * 2),  # one latent row in a layer
    ],
)
def test_a_token_adds_what_its_attending_layers_keep(model: str, size: int) -> None:
    assert sizing.token_bytes(builds.find(model), Wanted(1, LONG)) == size


def test_a_cache_in_fp8_is_half_as_large() -> None:
    build = builds.find("gpt-oss:120b")
    whole, half = (
        sizing.session_bytes(build, Wanted(1, LONG)),
        sizing.session_bytes(build, Wanted(1, LONG, "fp8")),
    )
    assert whole == 2 * half


def test_a_recurrent_state_does_not_grow_and_is_not_halved() -> None:
    build = builds.find("qwen3.8:27b")
    state = 2 * 48 * 3_268_608  # the last and the next
    assert sizing.session_bytes(build, Wanted(1, 1024)) == 1024 * 65_536 + state
    assert sizing.session_bytes(build, Wanted(1, 1024, "fp8")) == 1024 * 32_768 + state


@pytest.mark.parametrize(
    ("model", "gigabytes"),
    [
        ("qwen3-coder:30b", 31),
        (CODER_BF16, 61),
        ("gpt-oss:120b", 60.8 * GIB / 1e9),  # its card: a checkpoint of 60.8 GiB
        ("gpt-oss:20b", 12.8 * GIB / 1e9),
        ("glm-4.5-air", 107),
        ("glm-4.7", 355),
        ("qwen3-coder:480b", 480),
        (BIG_BF16, 960),
        ("qwen2.5-coder:32b", 65.5),
        ("Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", 19.3),
    ],
)
def test_weights_are_as_large_as_published(model: str, gigabytes: float) -> None:
    assert builds.find(model).weights_bytes / 1e9 == pytest.approx(gigabytes, rel=0.011)


def test_a_shape_from_a_config_counts_to_the_parameters_that_it_names() -> None:
    for build in builds.load():
        if build.repo.startswith(("zai-org/GLM-4.5", "zai-org/GLM-4.7-FP8", "MiniMax")):
            assert builds.expert_parameters(build.shape) < (build.shape.parameters or 0)
            assert builds.expert_parameters(build.shape) > 0.9 * (build.shape.parameters or 0)


# --- splits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "gpu", "context", "split"),
    [
        ("qwen3-coder:30b", "H100", LONG, Split(1)),
        (CODER_BF16, "H200", LONG, Split(1)),
        (CODER_BF16, "H100", LONG, Split(2)),
        ("gpt-oss:120b", "H100", 65_536, Split(1)),
        ("gpt-oss:120b", "H100", LONG, Split(2)),
        ("gpt-oss:20b", "L4", LONG, Split(1)),
        ("glm-4.5-air", "H100", LONG, Split(2)),
        ("glm-4.7", "H200", LONG, Split(4)),
        ("glm-4.7", "H100", LONG, Split(8)),
        ("qwen3-coder:480b", "H200", LONG, Split(8, expert_parallel=True)),
        (BIG_BF16, "H200", 32_768, Split(8)),  # one machine only with the short context
        (BIG_BF16, "H200", LONG, Split(8, 2)),
        ("deepseek-v3.1:671b", "H100", LONG, Split(8, 2)),
        ("minimax-m2.5", "H200", LONG, Split(4)),
    ],
)
def test_the_smallest_replica_is_what_the_makers_say(
    model: str, gpu: str, context: int, split: Split
) -> None:
    assert _layout(model, gpu, context=context).split == split


def test_48_gigabytes_hold_a_30b_with_a_shorter_context() -> None:
    build, card = builds.find("qwen3-coder:30b"), gpus.find("L40S")
    assert 64 * 1024 <= sizing.longest_context(build, card, Split(1), Wanted(1, LONG)) <= 100_000


@pytest.mark.parametrize(
    ("model", "split", "reason"),
    [
        (
            "qwen3-coder:480b",
            Split(8),
            "an expert, 2,560 wide, cannot be divided by 8 into multiples of the block of 128 that "
            "its weights come in",
        ),
        ("qwen3-coder:480b", Split(8, expert_parallel=True), None),
        ("qwen3-coder:480b", Split(4), None),
        (BIG_BF16, Split(8), None),
        ("minimax-m2.5", Split(8, expert_parallel=True), None),
        (
            "qwen3-coder-next",  # whole experts do not help the one that every token uses
            Split(8, expert_parallel=True),
            "its shared expert, 512 wide, cannot be divided by 8 into multiples of the block of "
            "128 that its weights come in",
        ),
        ("qwen3-coder-next", Split(4), None),  # two heads of keys, each twice
        ("glm-4.7-flash", Split(8), "its 20 attention heads cannot be divided by 8"),
        ("gpt-oss:120b", Split(8), None),
        ("glm-4.7", Split(1, 93), "it has only 92 layers"),
    ],
)
def test_a_split_that_vllm_refuses_is_told(model: str, split: Split, reason: str | None) -> None:
    assert sizing.fault(builds.find(model), split) == reason


def test_heads_of_keys_are_divided_or_repeated_but_never_cut() -> None:
    shape = ModelShape("x", (LayerCache(3, 128, 128),) * 4, 12, parameters=10**9)
    build = Build("x", "o/x", "bf16", shape, 4096)
    said = "its 3 heads of keys and values do not go with 2 GPUs"
    assert sizing.fault(build, Split(2)) == said


def test_tensors_are_split_inside_a_machine_and_the_widest_over_several() -> None:
    found = sizing.splits(builds.find("glm-4.7-flash"), gpus.find("H100"))
    assert found == [Split(1), Split(2), Split(4), Split(4, 2), Split(4, 3), Split(4, 4)]


def test_gpus_without_a_fast_link_are_not_spread_over_machines() -> None:
    found = sizing.splits(builds.find("glm-4.7"), gpus.find("L40S"))
    assert found == [Split(1), Split(2), Split(4), Split(8)]


def test_repeated_heads_save_no_cache() -> None:
    build = replace(builds.find(CODER_BF16), context_max_tokens=LONG)
    card, wanted = gpus.find("H100"), Wanted(1, LONG)
    four, eight = (sizing.lay_out(build, card, Split(size), wanted) for size in (4, 8))
    assert four is not None
    assert eight is not None
    assert (four.kv_bytes, eight.kv_bytes) == (12_884_901_888 // 4, 12_884_901_888 // 4)
    assert eight.weights_bytes == four.weights_bytes // 2


@pytest.mark.parametrize(
    ("build", "split", "wanted", "gib"),
    [
        # Qwen3-235B-A22B on four GPUs (issue 21348 of vllm-project/vllm)
        (
            Build(
                "x",
                "o/x",
                "fp8-block",
                ModelShape("x", (LayerCache(4, 128, 128),) * 94, 64, parameters=235 * 10**9),
                262_144,
            ),
            Split(4),
            Wanted(1, 178_880),
            8.11,
        ),
        # two GPUs, cache in FP8; vLLM rounds each recurrent state up to pages, which we do not
        (builds.find("qwen3.8:27b"), Split(2), Wanted(1, 262_144, "fp8"), 4.99 * 262_144 / 302_921),
    ],
)
def test_a_gpu_keeps_what_vllms_logs_say(
    build: Build, split: Split, wanted: Wanted, gib: float
) -> None:
    layout = sizing.lay_out(build, gpus.find("B300"), split, wanted)
    assert layout is not None
    assert layout.kv_bytes / GIB == pytest.approx(gib, rel=0.06)


# --- layouts -------------------------------------------------------------------------------------


def test_a_layout_says_what_each_gpu_holds() -> None:
    weights, session = 31_152_329_856, 12_884_901_888
    budget = round(round(79.14 * GIB) * 0.9)
    card = gpus.find("H100")
    assert _layout("qwen3-coder:30b", "H100") == Layout(
        gpu=card,
        split=Split(1),
        replicas=1,
        sessions=2,
        kv_tokens=int((int(budget / 1.1) - weights) / session * LONG),
        weights_bytes=weights,
        kv_bytes=session,
        overhead_bytes=4_403_723_175,
        budget_bytes=budget,
    )


def test_beside_a_window_lie_both_steps_that_vllm_has_under_way() -> None:
    layers, row = 50, 2 * 16 * 256 * 2  # Gemma 4 31B: 16 heads of 256 in a window of 1,024
    session = sizing.session_bytes(builds.find("gemma4:31b"), Wanted(1, LONG))
    window = session - 81_920 * LONG
    assert window == pytest.approx(layers * row * (1024 - 1 + 2 * 8192), rel=0.02)


def test_more_users_get_more_replicas_and_no_wider_split() -> None:
    few, many = _layout("qwen3-coder:30b", "H100", 10), _layout("qwen3-coder:30b", "H100", 500)
    assert (few.split, few.replicas) == (Split(2), 2)
    assert (many.split, many.replicas) == (Split(2), 63)


def test_a_wider_replica_is_taken_where_it_saves_gpus() -> None:
    layout = _layout("qwen3-coder:30b", "H100", 8)
    assert (layout.split, layout.gpus, layout.sessions) == (Split(2), 2, 8)


def test_the_recommended_gpus_compute_in_the_precision_and_stand_in_one_machine() -> None:
    def pick(model: str, sessions: int = 1, context: int = LONG) -> tuple[str, int]:
        build, wanted = builds.find(model), Wanted(sessions, context)
        rows = [sizing.best(build, card, wanted) for card in gpus.load()]
        found = sizing.recommended(build, rows)
        assert found is not None
        return found.gpu.name, found.gpus

    assert pick("qwen3-coder:30b") == ("H100", 1)  # not the A100, which has no FP8
    assert pick("glm-4.7") == ("H200", 4)
    assert pick("glm-4.5-air") == ("H100", 2)
    assert pick(BIG_BF16) == ("B200", 8)  # not 16 smaller ones in two machines


def test_a_tight_layout_is_taken_only_where_there_is_no_other() -> None:
    build, wanted = builds.find("gpt-oss:120b"), Wanted(1, 65_536)
    rows = [sizing.best(build, gpus.find(name), wanted) for name in ("H100", "H200")]
    assert [row.verdict for row in rows if isinstance(row, Layout)] == ["tight", "roomy"]
    found, alone = sizing.recommended(build, rows), sizing.recommended(build, rows[:1])
    assert found is rows[1]
    assert alone is rows[0]
    assert isinstance(alone, Layout)
    assert reasons.because(build, alone, wanted)[-1].startswith("tight: ")
    kind = reasons.chosen(build, rows[1], rows) if isinstance(rows[1], Layout) else None
    assert kind == (
        "the least memory to pay for, of 2 kinds of GPU that hold it: 1 x H200; smaller ones "
        "are tight, have only PCIe between the GPUs, or need more machines"
    )


def test_a_replica_of_many_sessions_is_not_tight() -> None:
    layout = _layout("gpt-oss:120b", "H200", 20)
    assert layout.headroom_bytes / layout.budget_bytes < sizing.TIGHT
    assert (layout.sessions, layout.verdict) == (10, "fits")


def test_nothing_is_recommended_where_nothing_fits() -> None:
    build, wanted = builds.find("glm-4.7"), Wanted(1, LONG)
    rows = [sizing.best(build, gpus.find(name), wanted) for name in ("L4", "L40S")]
    assert sizing.recommended(build, rows) is None
    near = sizing.nearest(rows)
    assert near is not None
    assert near.gpu.name == "L40S"
    assert reasons.missing(build, near, wanted) == (
        "8 x L40S need 55.5 GB on each for one session of 128k and have 42.8 GB; the weights "
        "alone are too much"
    )


def test_a_miss_says_which_context_would_fit() -> None:
    build, card, wanted = builds.find("gpt-oss:120b"), gpus.find("H100"), Wanted(1, LONG)
    miss = sizing.miss_of(build, card, Split(1), wanted)
    one = Wanted(1, miss.context_tokens)
    more = Wanted(1, miss.context_tokens + 1024)
    assert sizing.lay_out(build, card, Split(1), one) is not None
    assert sizing.lay_out(build, card, Split(1), more) is None
    assert reasons.missing(build, miss, wanted).endswith("and have 76.5 GB; 97k would fit")


def test_reasons_tell_of_everything_that_is_out_of_the_ordinary() -> None:
    wanted = Wanted(40, LONG)
    build = builds.find("qwen3-coder:480b")
    layout = sizing.best(build, gpus.find("A100"), wanted)
    assert isinstance(layout, Layout)
    told = reasons.because(build, layout, wanted)
    starts = (
        "weights of 482 GB (FP8), 254 kB of cache for a token: 33.3 GB for a session of 128k",
        "each A100 holds ",
        "40 sessions at once, ",
        "experts stay whole (--enable-expert-parallel): an expert, 2,560 wide, ",
        "one machine with 8 is too small: ",
        "A100 has no FP8 arithmetic: vLLM unpacks the weights",
    )
    assert [row[: len(start)] for row, start in zip(told, starts, strict=False)] == list(starts)


@settings(max_examples=60, deadline=None)
@given(
    build=st.sampled_from(builds.load()),
    card=st.sampled_from(gpus.load()),
    sessions=st.integers(1, 3000),
    context=st.integers(1, 128).map(lambda n: n * 1024),
    kind=st.sampled_from(("auto", "fp8")),
)
def test_every_layout_holds_what_is_wanted_within_its_budget(
    build: Build, card: gpus.Gpu, sessions: int, context: int, kind: sizing.KvCache
) -> None:
    wanted = Wanted(sessions, context, kind)
    found = sizing.best(build, card, wanted)
    if isinstance(found, Miss):
        assert found.split is None or found.short_bytes > 0
        return
    assert sizing.fault(build, found.split) is None
    assert found.split.tensor_parallel <= card.per_node
    assert found.headroom_bytes >= 0
    assert (found.replicas - 1) * found.sessions < sessions <= found.replicas * found.sessions
    more = sizing.best(build, card, replace(wanted, sessions=sessions + 1))
    assert isinstance(more, Layout)
    assert more.gpus >= found.gpus


def test_sessions_are_a_share_of_the_users_and_at_least_one() -> None:
    assert [sizing.sessions(*row) for row in ((1, 0.5), (3, 0.5), (20, 0.1), (100, 1.0))] == [
        1, 2, 2, 100,
    ]  # fmt: skip


# --- tables --------------------------------------------------------------------------------------


def test_gpus_are_as_large_as_the_machine_room_says() -> None:
    file = Path(agentlaunch.machine.__file__).with_name("devices.json")
    sold = {row["name"]: row["vram_gb"] for row in json.loads(file.read_text())["devices"]}
    names = {
        "L4": "L4", "A10G": "A10G", "RTX4090": "RTX 4090", "RTX5090": "RTX 5090",
        "A100": "A100 40GB", "L40S": "L40S", "RTX6000-Ada": "RTX 6000 Ada",
        "A100-80GB": "A100 80GB", "H100": "H100 SXM", "RTXPRO6000": "RTX PRO 6000 Blackwell",
        "H200": "H200",
    }  # fmt: skip
    known = {row.name: [row.sold_gb] for row in gpus.load() if row.name in names}
    assert known == {short: sold[long] for short, long in names.items()}


def test_no_gpu_has_more_memory_than_it_was_sold_with() -> None:
    assert all(0.9 < row.memory_bytes / 2**30 / row.sold_gb <= 1 for row in gpus.load())


@pytest.mark.parametrize("name", ["H100", "h100", "NVIDIA H100 80GB", "nvidia-h100-80gb"])
def test_a_gpu_is_found_however_it_is_written(name: str) -> None:
    assert gpus.find(name).name == "H100"


def test_an_unknown_gpu_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UsageError) as caught:
        gpus.find("H900")
    assert caught.value.message == "--gpu: 'H900' is not known"
    assert "NVIDIA" in (caught.value.hint or "")
    assert (caught.value.hint or "").partition(": ")[2].startswith("L4, A10G, ")
    assert gpus.find("a100 40gb").name == "A100"


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("qwen3-coder:30b", "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8"),
        ("Qwen3-Coder:30b", "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8"),
        ("qwen3-coder-30b", "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8"),
        ("qwen/qwen3-coder-30b-a3b-instruct", CODER_BF16),
        ("qwen3-coder-next", "Qwen/Qwen3-Coder-Next-FP8"),
        ("qwen3-coder-next:q4_K_M", "Qwen/Qwen3-Coder-Next-FP8"),
        ("library/gpt-oss:20b", "openai/gpt-oss-20b"),
        ("glm-4.7", "zai-org/GLM-4.7-FP8"),
    ],
)
def test_a_build_is_found_by_every_name_of_its_model(name: str, repo: str) -> None:
    assert builds.find(name).repo == repo


def test_every_build_can_be_sized_and_has_a_name_that_a_label_takes() -> None:
    for build in builds.load():
        assert build.weights_bytes > 10**9
        assert build.context_max_tokens >= 32_768
        assert sizing.session_bytes(build, Wanted(1, 32_768)) > 0
        assert build.served_name.replace("-", "").replace(".", "").isalnum()
        assert len(build.served_name) <= 63


def test_every_model_that_can_be_sized_has_its_tool_calls_read() -> None:
    assert [row.repo for row in builds.load() if parsers.tool_parser(row.repo) is None] == []


def test_an_unknown_model_is_told_with_what_was_perhaps_meant() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        builds.find("qwen3-coder-30")
    assert caught.value.message == "no model `qwen3-coder-30` that vLLM serves is known here"
    assert "`qwen3-coder-30b`" in (caught.value.hint or "")


def test_a_model_of_the_catalog_without_a_build_is_told_as_such() -> None:
    with pytest.raises(ModelUnavailable, match=r"no build of qwen3:8b that vLLM serves"):
        builds.find("qwen3:8b")


def test_an_unknown_repository_can_still_be_served() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        builds.find("acme/Coder-9000")
    assert "--model acme/Coder-9000 --tensor-parallel N --context N" in (caught.value.hint or "")
