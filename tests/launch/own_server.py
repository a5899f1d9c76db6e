"""A server made in a script, as the reader of `BaseInferenceApiServer` would: `python own_server.py PORT`."""

import sys

from penstock import demo
from penstock._core import Hub, Metrics
from penstock.adapters.echo import EchoEngine
from penstock.config import Settings
from penstock.prompt import PromptEncoder
from penstock.server.app import PenstockServer


class OwnServer(PenstockServer):
    async def on_startup(self) -> None:
        sys.stderr.write("own start-up\n")

    async def on_shutdown(self) -> None:
        sys.stderr.write("own shutdown\n")


if __name__ == "__main__":
    settings = Settings(echo_interval_ms=50)
    prompt = PromptEncoder.load(demo.model_path())
    metrics = Metrics()
    counters = metrics.model("echo")
    engine = EchoEngine(settings, prompt, Hub(prompt.vocabulary, counters), counters, "echo")
    OwnServer(settings, {"echo": engine}, metrics).run(host="localhost", port=int(sys.argv[1]))
