"""A tiny ASGI application with Penstock's life cycle: streams a number a tick, and drains.

`DOUBLE_TICKS` is how many numbers a stream has; `DOUBLE_MODE=stuck` ignores the drain, `hang` blocks the event loop.
"""

import asyncio
import logging
import os
import sys
import time

from penstock.server.lifecycle import Lifecycle, block_signals
from penstock.worker import OnlyWorker, refuse_forked_engine

block_signals()
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(message)s")

NUM_TICKS = int(os.environ.get("DOUBLE_TICKS", "10"))
MODE = os.environ.get("DOUBLE_MODE", "")
DRAIN_TIMEOUT_S = float(os.environ.get("DOUBLE_DRAIN_S", "20"))


class Double:
    def __init__(self):
        self.is_draining = False
        self.num_open = 0
        self.cut = asyncio.Event()

    def begin_drain(self):
        self.is_draining = True

    async def drain(self, timeout_s):
        deadline = time.monotonic() + timeout_s
        while self.num_open and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.cut.set()
        while self.num_open and MODE != "stuck":
            await asyncio.sleep(0.02)

    async def stream(self, send):
        self.num_open += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(NUM_TICKS):
            if self.cut.is_set() and MODE != "stuck":
                await send({"type": "http.response.body", "body": b"cut\n", "more_body": True})
                break
            await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"[DONE]\n"})
        self.num_open -= 1


double = None


async def app(scope, receive, send):
    global double
    if scope["type"] == "lifespan":
        await receive()
        try:
            refuse_forked_engine()
            only = OnlyWorker()
            only.claim(wait_s=10)
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        double = Double()
        Lifecycle(double, drain_timeout_s=DRAIN_TIMEOUT_S).install()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        only.release()
        logging.info("lifespan shutdown")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/stream":
        await double.stream(send)
    elif scope["path"] == "/hang":
        time.sleep(60)
    else:
        status = 503 if double.is_draining else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
