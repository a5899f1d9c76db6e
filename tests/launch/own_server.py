"""A server made in a script, as the reader of `BaseInferenceApiServer` would: `python own_server.py PORT [FAULT]`."""

import sys

from penstock import demo
from penstock._core import Hub, Metrics
from penstock.adapters.echo import EchoEngine
from penstock.config import Settings
from penstock.prompt import PromptEncoder
from penstock.server.app import PenstockServer

FAULT = sys.argv[2] if len(sys.argv) > 2 else ""


class OwnServer(PenstockServer):
    async def on_startup(self) -> None:
        sys.stderr.write("own start-up\n")

    async def on_shutdown(self) -> None:
        sys.stderr.write("own shutdown\n")
        if FAULT == "shutdown":
            raise OSError("the database is gone")


def make_server() -> OwnServer:
    settings = Settings(echo_interval_ms=50, drain_timeout_s=0.5 if FAULT == "short-drain" else 30)
    prompt = PromptEncoder.load(demo.model_path())
    metrics = Metrics()
    counters = metrics.model("echo")
    engine = EchoEngine(settings, prompt, Hub(prompt.vocabulary, counters), counters, "echo")
    return OwnServer(settings, {"echo": engine}, metrics)


if __name__ == "__main__":
    make_server().run(
        host="localhost", port=int(sys.argv[1]), workers=2 if FAULT == "workers" else 1, reload=FAULT == "reload"
    )
