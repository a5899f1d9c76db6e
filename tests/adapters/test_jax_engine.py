"""The whole way of a token: the JAX engine, the real hub and its frames, against transformers' golden continuations."""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from penstock import _core
from penstock.abilities import Abilities
from penstock.adapters.jax_engine import JaxEngine
from penstock.adapters.outlets import Outlets
from penstock.checkpoint import inspect_checkpoint
from penstock.config import Settings
from penstock.errors import ApiError
from penstock.generation import EngineState, GenerationRequest, Prompt, SamplingParams
from penstock.prompt import PromptEncoder
from penstock.protocol import CompletionRequest
from penstock.protocol.embeddings import EmbeddingRequest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "tests/data", ROOT / "tests/data/golden", ROOT.parent / "shared/golden")
GOLDEN = next((folder for folder in FOLDERS if (folder / "llama").is_dir()), None)
pytestmark = pytest.mark.skipif(GOLDEN is None, reason="the golden checkpoints are not here")


class Client:
    """Opens streams, submits, and collects what a server would send."""

    def __init__(self, folder):
        checkpoint, prompt = inspect_checkpoint(folder), PromptEncoder.load(folder)
        self.metrics = _core.Metrics().model("golden")
        self.hub = _core.Hub(prompt.vocabulary, self.metrics)
        # One prefill program and two of decode: long prompts come in slices, and compiling them all takes seconds.
        settings = Settings(max_num_seqs=4, max_prefill_tokens=16, max_model_len=256, compile_cache=folder / "cache")
        self.engine = JaxEngine(settings, checkpoint, prompt, self.hub, self.metrics, "golden")
        self.wakers, self.states = [], []
        self.stepped = threading.Condition()
        self.num_opened = 0

    def on_step(self):
        self.states.append(self.engine.status().state)
        for wake in self.wakers:
            wake()
        with self.stepped:
            self.stepped.notify_all()

    def wait_until(self, condition, timeout_s=60):
        with self.stepped:
            deadline = time.monotonic() + timeout_s
            while not condition():
                assert time.monotonic() < deadline, self.engine.status()
                self.stepped.wait(0.05)

    def submit(self, ids, *, streamed=True, stop=(), **sampling):
        sampling = SamplingParams(**{"max_tokens": 24, "temperature": 0.0} | sampling)
        self.num_opened += 1
        opening = _core.Opening(
            dialect="completions",
            response_id=f"cmpl-{self.num_opened}",
            model="golden",
            created=0,
            is_streamed=streamed,
            num_choices=sampling.n,
            stop=list(stop),
            prompt_tokens=len(ids),
            max_tokens=sampling.max_tokens,
            request_id=f"req_{self.num_opened}",
            arrival=time.monotonic(),
        )
        key = self.hub.open(opening)
        self.engine.submit(GenerationRequest(key, (Prompt.of_ids(ids),), sampling, f"req_{self.num_opened}"))
        return Answer(self, key, streamed)

    def texts(self, ids, **options):
        return self.submit(ids, **options).texts()

    def wait_until_idle(self):
        self.wait_until(lambda: self.engine.status().num_running + self.engine.status().num_waiting == 0)
        self.wait_until(lambda: self.metrics.get("penstock_pages_in_use") == 0)


class Answer:
    def __init__(self, client, key, streamed):
        self.client, self.key, self.streamed = client, key, streamed
        self.body, self.status = b"", 0

    def collect(self):
        def is_over():
            new, self.status, _ = self.client.hub.take(self.key)
            self.body += new
            return self.status

        self.client.wait_until(is_over)
        return self.body

    def texts(self):
        """The text of every choice, by index."""
        if not self.streamed:
            return [choice["text"] for choice in json.loads(self.collect())["choices"]]
        texts = {}
        events = self.collect().split(b"\n\n")
        assert events[-2:] == [b"data: [DONE]", b""]
        for event in events[:-2]:
            for choice in json.loads(event.removeprefix(b"data: "))["choices"]:
                texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
        return [texts[index] for index in sorted(texts)]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden_llama")
    for file in [*(GOLDEN / "llama").glob("*"), *(ROOT / "tests/data/tokenizer").glob("*")]:
        if file.name in {"config.json", "generation_config.json", "model.safetensors"} or "token" in file.name:
            shutil.copy(file, folder)
    client = Client(folder)
    with pytest.raises(ApiError) as refusal:
        client.engine.submit(GenerationRequest(1 << 12, (Prompt.of_ids([1]),), SamplingParams(max_tokens=4), "early"))
    assert refusal.value.kind == "model_loading"
    client.engine.start(client.on_step)
    client.wait_until(lambda: client.engine.status().state is not EngineState.LOADING, timeout_s=150)
    yield client
    client.engine.stop()
    assert client.engine.status().state is EngineState.STOPPED
    assert client.states[0] is EngineState.READY
    with pytest.raises(ApiError) as refusal:
        client.engine.submit(GenerationRequest(1 << 12, (Prompt.of_ids([1]),), SamplingParams(max_tokens=4), "late"))
    assert refusal.value.kind == "engine_dead"


@pytest.fixture(scope="module")
def prompts():
    return json.loads((GOLDEN / "llama" / "golden.json").read_text())["prompts"]


def test_importing_the_adapter_imports_no_jax():
    code = "import sys, penstock.adapters.jax_engine; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_greedy_text_equals_transformers_plain_and_streamed_all_at_once(client, prompts):
    answers = [
        (client.submit(prompt["ids"], streamed=streamed), prompt) for prompt in prompts for streamed in (True, False)
    ]
    neighbour = client.submit(prompts[1]["ids"], n=3, temperature=1.0, max_tokens=60)
    for answer, prompt in answers:
        assert answer.texts() == [prompt["greedy"]["text"]]
    assert len(neighbour.texts()) == 3
    client.wait_until_idle()
    assert client.hub.num_open == 0
    assert client.metrics.get("penstock_compiles_after_ready_total") == 0


def test_a_seeded_choice_is_the_same_alone_and_among_others(client, prompts):
    ids = prompts[0]["ids"]
    alone = client.texts(ids, temperature=0.9, seed=11)
    crowd = [client.submit(prompt["ids"], temperature=1.0, n=2) for prompt in prompts]
    among = client.texts(ids, temperature=0.9, seed=11, n=4)
    assert among[0] == alone[0]
    assert len(set(among)) == 4
    assert client.texts(ids, temperature=0.9, seed=12) != alone
    for answer in crowd:
        answer.collect()


def test_a_stop_string_ends_the_sequence_in_the_engine_too(client, prompts):
    whole = prompts[0]["greedy"]["text"]
    stop = whole[len(whole) // 2 :][:3]
    assert client.texts(prompts[0]["ids"], stop=[stop], max_tokens=200) == [whole[: whole.index(stop)]]
    client.wait_until_idle()


def test_cancels_at_every_moment_leave_nothing_and_nobody_notices(client, prompts):
    cancelled = []
    for number in range(24):
        answer = client.submit(prompts[number % 4]["ids"], n=1 + number % 3, temperature=1.0, max_tokens=100)
        cancelled.append(answer.key)
        if number % 2:
            time.sleep(0.003 * (number % 5))
        client.engine.cancel(cancelled[number // 2])
        client.hub.cancel(cancelled[number // 2])
    survivor = client.submit(prompts[2]["ids"])
    for key in cancelled:
        client.engine.cancel(key)
        client.hub.cancel(key)
    assert survivor.texts() == [prompts[2]["greedy"]["text"]]
    client.wait_until_idle()
    assert client.hub.num_open == 0


def test_a_failed_step_fails_its_request_and_the_next_one_is_right(client, prompts, monkeypatch, caplog):
    runner = client.engine._runner
    fails = iter([True])
    dispatch = runner.dispatch

    def dispatch_or_fail(plan):
        if len(plan.decode_slots) and next(fails, False):
            raise RuntimeError("injected")
        return dispatch(plan)

    monkeypatch.setattr(runner, "dispatch", dispatch_or_fail)
    failed = client.submit(prompts[0]["ids"], streamed=False)
    assert json.loads(failed.collect())["error"]["type"] == "server_error"
    assert failed.status == 500
    assert client.texts(prompts[0]["ids"]) == [prompts[0]["greedy"]["text"]]
    assert client.engine.status().state is EngineState.READY
    client.wait_until_idle()


def test_generate_for_callers_in_python(client, prompts):
    text, expected = prompts[0]["text"], prompts[0]["greedy"]["text"]
    sampling = SamplingParams(max_tokens=24, temperature=0.0)

    async def both():
        client.engine.outlets = Outlets(client.hub)
        client.wakers.append(client.engine.outlets.wake)
        whole = await client.engine.generate([text, text], sampling)
        deltas = [sample async for samples in await client.engine.generate(text, sampling, True) for sample in samples]
        return whole, deltas

    try:
        whole, deltas = asyncio.run(both())
    finally:
        client.wakers.clear()
        client.engine.outlets = None
    assert [sample.text for sample in whole] == [expected, expected]
    assert "".join(sample.text for sample in deltas) == expected
    assert client.engine.count_tokens(text) == len(prompts[0]["ids"]) - 1  # without <|bos|>


def test_the_pages_of_what_is_read_are_named_before_the_loop_submits_it(client):
    ids = list(range(5, 45))
    read = client.engine.read_inputs(EmbeddingRequest.model_construct(input=[ids, ids]))
    read += client.engine.read_prompts(CompletionRequest.model_construct(prompt=ids, cache_salt="mine"))
    assert [(names.salt, len(names.names)) for names in (prompt.page_names for prompt in read)] == [
        ("", 2),
        ("", 2),
        ("mine", 2),
    ]


def test_the_model_card_and_the_status_say_what_is_there(client):
    info, status = client.engine.get_model_info(), client.engine.status()
    assert (info["architecture"], info["max_model_len"], info["vocab_size"]) == ("LlamaForCausalLM", 256, 1280)
    able = Abilities(
        chat=True, token_prompts=True, token_output=True, tools=True, reasoning=True,
        penalties=True, logit_bias=True, logprobs=True, json=True, embeddings=True, scheduling=True,
    )  # fmt: skip
    assert client.engine.abilities == able
    assert status.num_pages == info["num_pages"] == client.metrics.get("penstock_num_pages") > 0
    assert status.heartbeat_age_s == 0.0
