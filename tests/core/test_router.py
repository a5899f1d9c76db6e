"""Request heads: a table of scopes, whole heads of the official client, and any bytes at all."""

import json

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import _core

ENDPOINTS = [
    ("/health", ["GET"], False),
    ("/v1/models", ["GET"], False),
    ("/v1/models/{model_id}", ["GET"], False),
    ("/v1/chat/completions", ["post"], True),
]
ROUTER = _core.Router(ENDPOINTS, max_body_bytes=1000, max_headers=30)


def scope(method="GET", path="/health", **headers):
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": pairs}


def scope_of(request: httpx2.Request):
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    return {"type": "http", "method": request.method, "path": request.url.path, "headers": headers}


def test_the_official_clients_heads_are_read():
    heads = []

    def answer(request):
        heads.append(ROUTER.read(scope_of(request)))
        return httpx2.Response(404, json={"error": {"message": "no"}})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(api_key="sk-1", base_url="http://p/v1", max_retries=0, http_client=http, timeout=77) as client:
        for call in (
            lambda: client.models.retrieve("org/name"),
            lambda: client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], extra_headers={"X-Request-ID": "mine-1"}
            ),
        ):
            with pytest.raises(openai.NotFoundError):
                call()
    model, chat = heads
    assert (model.endpoint, model.path_params, model.answer) == (2, {"model_id": "org/name"}, None)
    assert (chat.endpoint, chat.answer, chat.request_id) == (3, None, "mine-1")
    assert chat.content_length > 0
    assert {(head.api_key, head.timeout_s, head.read_timeout_s) for head in heads} == {(b"sk-1", None, 77.0)}


def test_the_official_client_reads_the_ready_answers():
    def answer(request):
        status, headers, body = ROUTER.read(scope_of(request)).answer
        return httpx2.Response(status, headers=headers, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(api_key="k", base_url="http://p/v1", max_retries=0, http_client=http) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            client.embeddings.create(model="m", input="x")
        with pytest.raises(openai.APIStatusError) as too_large:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 2000}])
    assert unknown.value.code == "unknown_url"
    assert unknown.value.request_id.startswith("req_")
    assert (too_large.value.status_code, too_large.value.code) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("given_scope", "status", "says"),
    [
        (scope(path="/v1/nowhere"), 404, "GET /v1/nowhere"),
        (scope(path="/health/"), 404, "/health/"),
        (scope("POST", "/health"), 405, "GET, HEAD"),
        (scope("OPTIONS", "/v1/chat/completions"), 405, "POST"),
        (scope("POST", "/v1/chat/completions", content_length="1001", content_type="application/json"), 413, "1000"),
        (scope("POST", "/v1/chat/completions", content_length="many", content_type="application/json"), 400, "digits"),
        (scope("POST", "/v1/chat/completions", content_length="9", content_type="text/plain"), 415, "application/json"),
        (scope("POST", "/v1/chat/completions", content_length="9"), 415, "application/json"),
        (
            scope(
                "POST",
                "/v1/chat/completions",
                content_length="9",
                content_type="application/json",
                content_encoding="gzip",
            ),
            415,
            "gzip",
        ),
        (scope("POST", "/chat/completions"), 404, "Did you mean /v1/chat/completions?"),
        (scope(path="/v1/models/"), 404, "Did you mean /v1/models?"),
        (scope(path="//v1/models"), 404, "Did you mean /v1/models?"),
        (scope(**{f"x{number}": "" for number in range(31)}), 431, "at most 30"),
    ],
)
def test_refusals(given_scope, status, says):
    head = ROUTER.read(given_scope)
    got, headers, body = head.answer
    fields = dict(headers)
    error = json.loads(body)
    assert got == status
    assert says in error["error"]["message"]
    assert error["request_id"].encode() == fields[b"x-request-id"] == head.request_id.encode()
    assert fields[b"content-length"] == str(len(body)).encode()
    assert fields[b"server"] == b"penstock"
    assert (b"allow" in fields) == (status == 405)


def test_what_passes_has_no_answer():
    head = ROUTER.read(scope("HEAD", accept="application/json", x_api_key="k", x_request_timeout="2.5"))
    assert (head.method, head.path, head.endpoint, head.answer) == ("HEAD", "/health", 0, None)
    assert (head.api_key, head.timeout_s, head.accepts_json) == (b"k", 2.5, True)
    assert (head.content_length, head.traceparent) == (None, None)
    assert head.headers == [(b"x-request-id", head.request_id.encode()), (b"server", b"penstock")]


def test_a_mount_point_is_not_part_of_the_path():
    head = ROUTER.read({**scope(path="/llm/v1/models"), "root_path": "/llm"})
    assert (head.path, head.endpoint) == ("/v1/models", 1)


def test_header_pairs_may_be_lists():
    head = ROUTER.read({**scope(), "headers": [[b"x-request-id", b"mine"]]})
    assert head.request_id == "mine"


def test_credentials_never_come_with_any_origin():
    asks = {"origin": "https://a.example", "access_control_request_method": "POST"}
    for origins, allowed, credentials in (
        ([], None, None),
        (["*"], b"*", None),
        (["https://a.example"], b"https://a.example", b"true"),
        (["https://b.example"], None, None),
    ):
        router = _core.Router(ENDPOINTS, cors_origins=origins)
        plain = dict(router.read(scope(origin="https://a.example")).headers)
        status, headers, _ = router.read(scope("OPTIONS", "/v1/chat/completions", **asks)).answer
        assert status == (204 if origins else 405)
        for fields in (plain, dict(headers)):
            assert fields.get(b"access-control-allow-origin") == allowed
            assert fields.get(b"access-control-allow-credentials") == credentials


def test_bad_templates_are_refused():
    with pytest.raises(ValueError, match="brace"):
        _core.Router([("/v1/{a}b", ["GET"], False)])


@given(
    st.text(max_size=8),
    st.one_of(st.text(max_size=30), st.just("/v1/models/\ud800")),
    st.lists(
        st.tuples(st.sampled_from([b"content-length", b"accept", b"authorization", b"x"]), st.binary(max_size=40))
    ),
)
def test_no_scope_raises(method, path, headers):
    head = ROUTER.read({"type": "http", "method": method, "path": path, "headers": headers})
    assert head.endpoint >= 0 or head.answer is not None
