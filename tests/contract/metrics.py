"""Reads a live server's counters."""

import re
import time
import urllib.request

Metrics = dict[str, float]


def read(url: str) -> Metrics:
    """Every sample without its labels; samples of one family are added up."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found: Metrics = {}
    for name, value in re.findall(r"^([\w:]+)(?:{.*})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def wait_until_idle(url: str, timeout_s: float = 5.0) -> Metrics:
    """Returns once no stream is open and no sequence runs or waits."""
    gauges = ("penstock_streams_open", "vllm:num_requests_running", "vllm:num_requests_waiting")
    deadline = time.monotonic() + timeout_s
    while any((found := read(url))[gauge] for gauge in gauges):
        assert time.monotonic() < deadline, {gauge: found[gauge] for gauge in gauges}
        time.sleep(0.02)
    return found
