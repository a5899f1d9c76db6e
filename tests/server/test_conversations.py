"""Stored responses as a new request goes on from them."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from penstock.errors import ApiError
from penstock.http.worker_pool import WorkerPool
from penstock.server.conversations import Conversations


class CountingPool(WorkerPool):
    """Counts its jobs."""

    def __init__(self) -> None:
        super().__init__(1, max_jobs=8)
        self.num_jobs_run = 0

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        self.num_jobs_run += 1
        return await super().run(function, *args)


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [item["content"][0]["text"] for item in items]


async def two_turns(conversations: Conversations, num_chars: int) -> None:
    said = orjson.dumps({"output": [{"id": "msg_1_0", "content": [{"type": "output_text", "text": "ok"}]}]})
    nothing = orjson.dumps({"output": []})
    await conversations.put("resp_1", "me", None, said, [message("a" * num_chars)])
    await conversations.put("resp_2", "me", "resp_1", nothing, [message("b")])


@pytest.mark.parametrize(("num_chars", "num_jobs"), [(10, 0), (100_000, 1)])
def test_a_long_history_is_parsed_off_the_loop(num_chars: int, num_jobs: int) -> None:
    async def run() -> None:
        pool = CountingPool()
        conversations = Conversations(None, 1 << 20, pool=pool)
        await two_turns(conversations, num_chars)
        items = await conversations.history("resp_2", "me")
        assert texts(items) == ["a" * num_chars, "ok", "b"]
        assert pool.num_jobs_run == num_jobs
        pool.shut_down()

    asyncio.run(run())


def test_an_item_is_referred_to_once() -> None:
    async def run() -> None:
        conversations = Conversations(None, 1 << 20, pool=CountingPool())
        await two_turns(conversations, 10)
        reference = {"type": "item_reference", "id": "msg_1_in0"}
        found = await conversations.resolve([reference, message("c")], ["msg_1_in0"], "me")
        assert found[0]["content"][0]["text"] == "a" * 10
        assert found[1] == message("c")
        with pytest.raises(ApiError) as refused:
            await conversations.resolve([reference] * 2, ["msg_1_in0"] * 2, "me")
        assert (refused.value.kind, refused.value.param) == ("invalid_value", "input")
        for owner, item_id in [("other", "msg_1_in0"), ("me", "msg_1_in7"), ("me", "msg_9_0"), ("me", "odd")]:
            with pytest.raises(ApiError) as refused:
                await conversations.resolve([{"id": item_id}], [item_id], owner)
            assert refused.value.kind == "item_not_found"

    asyncio.run(run())
