"""/docs as bytes: what is sent, how, and to whom. `test_browser.py` looks at it."""

import gzip
import hashlib
import re

import pytest
from driver import ask, play
from driver import echo_server as make_server
from processes import Launch
from raw_http import ask as ask_live
from raw_http import head

#: Of the files in the npm package swagger-ui-dist 5.35.0.
UNPACKED_SHA256 = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


def test_the_page_loads_only_what_the_server_has() -> None:
    server = make_server()

    async def scene() -> None:
        page = await ask(server, "GET", "/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        links = re.findall(r'(?:src|href)="([^"]*)"', page.body.decode())
        assert len(links) == 4
        for link in links:
            assert link == "data:," or (await ask(server, "GET", f"/{link}")).status == 200

    play(server, scene)


@pytest.mark.parametrize("name", UNPACKED_SHA256)
def test_swagger_ui_is_sent_as_it_was_published(name: str) -> None:
    server = make_server()

    async def scene() -> None:
        packed = await ask(server, "GET", f"/docs/{name}", accept_encoding="br, gzip;q=0.8")
        plain = await ask(server, "GET", f"/docs/{name}", accept_encoding="gzip;q=0, identity")
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert gzip.decompress(packed.body) == plain.body
        assert hashlib.sha256(plain.body).hexdigest() == UNPACKED_SHA256[name]
        assert packed.headers["etag"] != plain.headers["etag"]
        assert packed.headers["vary"] == "accept-encoding"

    play(server, scene)


def test_the_page_may_run_no_script_but_the_servers_own() -> None:
    server = make_server()

    async def scene() -> None:
        page = await ask(server, "GET", "/docs")
        policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in page.headers["content-security-policy"]
        for path in ("/docs", "/docs/docs.js", "/openapi.json"):
            headers = (await ask(server, "GET", path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"

    play(server, scene)


def test_the_title_is_text_and_not_markup() -> None:
    from penstock.http.worker_pool import WorkerPool
    from penstock.server.documents import Documents

    documents = Documents(dict, title="<b>&", has_authorize=False, pool=WorkerPool(1, max_jobs=1))
    server = make_server()
    server.documents = documents

    async def scene() -> None:
        page = (await ask(server, "GET", "/docs")).body.decode()
        assert "<title>&lt;b&gt;&amp;</title>" in page
        assert 'data-has-authorize="false"' in page

    play(server, scene)


def test_no_other_file_can_be_had() -> None:
    server = make_server()

    async def scene() -> None:
        for path in ("/docs/fetch.py", "/docs/../errors.py", "/docs/", "/docs/swagger-ui.css.gz", "/docs/docs.html"):
            refused = await ask(server, "GET", path)
            assert (refused.status, refused.json()["error"]["code"]) == (404, "unknown_url"), path

    play(server, scene)


def test_what_is_known_is_not_sent_again() -> None:
    server = make_server()

    async def scene() -> None:
        for path in ("/docs", "/docs/swagger-ui.css", "/openapi.json"):
            tag = (await ask(server, "GET", path)).headers["etag"]
            for field in (tag, f'"other", W/{tag}', "*"):
                known = await ask(server, "GET", path, if_none_match=field)
                assert (known.status, known.body, known.headers["etag"]) == (304, b"", tag)
            assert (await ask(server, "GET", path, if_none_match='"other"')).status == 200

    play(server, scene)


def test_documents_need_no_key_and_all_else_does(guarded_server: Launch) -> None:
    for path in ("/docs", "/docs/docs.js", "/openapi.json"):
        answer = ask_live(guarded_server, head("GET", path))
        assert answer.status == 200, path
        assert answer.headers["content-length"] == str(len(answer.body))
    assert ask_live(guarded_server, head("GET", "/v1/models")).status == 401


def test_a_304_has_no_body_on_the_wire(echo_server: Launch) -> None:
    tag = ask_live(echo_server, head("GET", "/docs")).headers["etag"]
    known = ask_live(echo_server, head("GET", "/docs", if_none_match=tag))
    assert (known.status, known.body) == (304, b"")
