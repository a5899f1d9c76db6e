"""A server on the JAX engine whose steps fail on demand: `python failing_server.py PORT MODEL FAULTS CACHE`.

While the file FAULTS exists, the next decode step deletes a line of it and raises. MODEL and CACHE are folders.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock._core import Hub, Metrics
from penstock.adapters.jax_engine import JaxEngine
from penstock.checkpoint import inspect_checkpoint
from penstock.config import Settings
from penstock.engine import InFlightStep, StepPlan
from penstock.prompt import PromptEncoder
from penstock.scheduler.scheduler import Scheduler
from penstock.server.app import PenstockServer

NAME = "failing"


class FailingEngine(JaxEngine):
    def __init__(self, *args: Any, faults: Path) -> None:
        super().__init__(*args)
        self._faults = faults

    def _load(self, on_progress: Callable[[str], None]) -> Scheduler:
        scheduler = super()._load(on_progress)
        runner: Any = self._runner
        dispatch = runner.dispatch

        def fail_or_dispatch(plan: StepPlan) -> InFlightStep:
            if len(plan.decode_slots) and self._faults.exists():
                *left, _ = self._faults.read_text().splitlines()
                self._faults.write_text("\n".join(left)) if left else self._faults.unlink()
                raise RuntimeError("a fault on demand")
            return dispatch(plan)

        runner.dispatch = fail_or_dispatch
        return scheduler


if __name__ == "__main__":
    port, (folder, faults, cache) = int(sys.argv[1]), map(Path, sys.argv[2:])
    settings = Settings(
        model=folder, max_num_seqs=4, max_prefill_tokens=16, max_queued_requests=8,
        compile_cache=cache,
    )  # fmt: skip
    prompt = PromptEncoder.load(folder)
    metrics = Metrics()
    counters = metrics.model(NAME)
    hub = Hub(prompt.vocabulary, counters, max_pending_bytes=settings.max_pending_bytes)
    engine = FailingEngine(settings, inspect_checkpoint(folder), prompt, hub, counters, NAME, faults=faults)
    PenstockServer(settings, {NAME: engine}, metrics).run(host="127.0.0.1", port=port)
