"""What supervisors, balancers and dashboards ask."""

import json
import re
import socket
import time

import metrics
from processes import Launch
from raw_http import CHAT, HELLO, ask, ask_json, connection, head, post


def test_health_tells_status_uptime_and_models(echo_server: Launch) -> None:
    answer = ask(echo_server, head("GET", "/health"))
    content = json.loads(answer.body)
    assert answer.status == 200
    assert content["status"] == "ready"
    assert content["uptime_seconds"] > 0
    assert content["active_requests"] == 0
    assert content["models"]["echo"]["state"] == "ready"


def test_health_counts_a_stream_until_it_ends(paced_server: Launch) -> None:
    with connection(paced_server) as sock:
        sock.sendall(post(CHAT, json.dumps({**HELLO, "stream": True, "max_tokens": 5000}).encode()))
        received = b""
        while b'"content"' not in received:  # the head comes before the engine has begun
            received += sock.recv(4096)
        content = json.loads(ask(paced_server, head("GET", "/health")).body)
        assert content["active_requests"] == 1
        assert content["models"]["echo"]["num_running"] == 1
        assert content["models"]["echo"]["streams_open"] == 1
    metrics.wait_until_idle(paced_server.url)


def test_probes_need_no_key_and_name_nothing(guarded_server: Launch) -> None:
    for path in ("/health", "/ready"):
        answer = ask(guarded_server, head("GET", path))
        assert answer.status == 200
        assert b"echo" not in answer.body
    assert b"echo" in ask(guarded_server, head("GET", "/health", x_api_key="secret")).body


def test_everything_else_needs_one(guarded_server: Launch) -> None:
    for path in ("/version", "/metrics", "/v1/models", "/v1/models/echo", "/v1/tools"):
        assert ask(guarded_server, head("GET", path)).status == 401, path
        assert ask(guarded_server, head("GET", path, authorization="Bearer secret")).status == 200, path
        assert ask(guarded_server, head("GET", f"{path}?api_key=secret")).status == 401, path


def test_pages_of_one_origin_may_ask(slow_server: Launch) -> None:
    allowed, other = "https://a.example", "https://b.example"
    preflight = head("OPTIONS", CHAT, origin=allowed, access_control_request_method="POST")
    assert ask(slow_server, preflight).headers["access-control-allow-origin"] == allowed
    for path, status in (("/v1/models", 200), ("/v1/models/none", 404)):
        answer = ask(slow_server, head("GET", path, origin=allowed))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, allowed)
        assert "access-control-allow-origin" not in ask(slow_server, head("GET", path, origin=other)).headers


def test_version(echo_server: Launch) -> None:
    content = json.loads(ask(echo_server, head("GET", "/version")).body)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", content["version"])


def test_metrics_are_prometheus_text_unless_json_is_preferred(echo_server: Launch) -> None:
    assert ask_json(echo_server, CHAT, HELLO).status == 200
    text = ask(echo_server, head("GET", "/metrics"))
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"}' in text.body

    content = json.loads(ask(echo_server, head("GET", "/metrics", accept="application/json")).body)
    assert content["total_requests"] >= content["successful_requests"] > 0
    assert content["total_tokens_generated"] > 0
    assert content["uptime_seconds"] > 0


def test_a_model_id_may_have_slashes(serve_slashed: Launch) -> None:
    answer = ask(serve_slashed, head("GET", "/v1/models/org/model"))
    assert json.loads(answer.body)["id"] == "org/model"


def test_health_is_quick_while_streams_run(echo_server: Launch) -> None:
    body = json.dumps({**HELLO, "stream": True, "max_tokens": 20_000}).encode()
    socks = [socket.create_connection(("127.0.0.1", echo_server.port)) for _ in range(32)]
    try:
        for sock in socks:
            sock.sendall(post(CHAT, body))
        waits = []
        for _ in range(50):
            began = time.monotonic()
            assert ask(echo_server, head("GET", "/health")).status == 200
            waits.append(time.monotonic() - began)
        assert sorted(waits)[45] < 0.25
    finally:
        for sock in socks:
            sock.close()
    metrics.wait_until_idle(echo_server.url)
