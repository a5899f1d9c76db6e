"""A tiny ASGI application with Penstock's life cycle: streams a number a tick, and drains.

`DOUBLE_TICKS` is how many numbers a stream has; `DOUBLE_MODE=stuck` ignores the drain, `hang` blocks the event loop.
"""

import asyncio
import logging
import os
import sys
import time

from penstock.config import Settings
from penstock.http.open_peers import OpenPeers
from penstock.life.lifecycle import block_signals
from penstock.life.lifespan import serve_lifespan

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
        self.open_peers = OpenPeers()
        self.drain_timeout_s = DRAIN_TIMEOUT_S

    async def startup(self):
        pass

    async def shutdown(self):
        logging.info("lifespan shutdown")

    def engine_statuses(self):
        return {}

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


async def build(settings):
    global double
    double = Double()
    return double


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await serve_lifespan(receive, send, read_settings=Settings, build=build)
    elif scope["path"] == "/stream":
        peer = double.open_peers.begin(scope)
        await double.stream(send)
        double.open_peers.end(peer)
    elif scope["path"] == "/hang":
        time.sleep(60)
    else:
        status = 503 if double.is_draining else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
