"""An HTTP request as handlers see it: head, body, and whether anybody still waits for the answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from penstock.errors import ApiError
from penstock.http.body_budget import BodyBudget
from penstock.http.cancel_scope import CancelScope
from penstock.http.types import Receive, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock._core import Receipt, RequestHead


class Address(NamedTuple):
    """Of a peer."""

    host: str
    port: int


class Headers(dict[str, str]):
    """Headers by lower-case name, asked for in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Request:
    """One request.

    Attributes:
        method, path: of the request line, the path percent-decoded.
        path_params: what the endpoint's template names, as {"model_id": "org/model"}.
        arrival: `time.monotonic()` of its head.
        request_id: the client's X-Request-ID if sane, else minted; on the answer, in errors and in the log.
        is_authorized: whether a valid key came with it, or none is needed.
        api_key_id: whose request this is: the id of its key, "" without keys.
        answer_headers: what every answer to this request carries.
        error_shape: of what its endpoint refuses (`EndpointConfig`).
        warnings: names of body fields that nothing acts on; they go out as `x-penstock-warnings`.
        receipt: what its generation came to, once that is over.
        has_answered: whether the head of an answer has been sent.
        state: for handlers and hooks to put things on.
    """

    def __init__(
        self, scope: Scope, receive: Receive, head: RequestHead, *,
        arrival: float, max_body_bytes: int, body_budget: BodyBudget, timeout_s: float,
    ) -> None:  # fmt: skip
        self.head = head
        self.arrival = arrival
        self.method = head.method
        self.path = head.path
        self.path_params = head.path_params
        self.request_id = head.request_id
        self.answer_headers = head.headers
        self.is_authorized = False
        self.api_key_id = ""
        self.error_shape = "openai"
        self.warnings: list[str] = []
        self.has_answered = False
        self.receipt: Receipt | None = None
        self.cancel_scope = CancelScope(receive, timeout_s=timeout_s)
        self._scope = scope
        self._receive = receive
        self._max_body_bytes = max_body_bytes
        self._body_budget = body_budget
        self._num_body_bytes = 0
        self._body: bytes | None = None
        self._headers: Headers | None = None
        self._query: dict[str, str] | None = None
        self._state: SimpleNamespace | None = None

    @property
    def scope(self) -> Scope:
        """ASGI's, as the host gave it."""
        return self._scope

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, in any case; values that came several times are joined by commas."""
        if self._headers is None:
            self._headers = Headers()
            for raw_name, raw_value in self._scope["headers"]:
                name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
                self._headers[name] = f"{self._headers[name]}, {value}" if name in self._headers else value
        return self._headers

    @property
    def query_params(self) -> dict[str, str]:
        """The query string's pairs; of a name that came several times, the last."""
        if self._query is None:
            text = self._scope.get("query_string", b"").decode("latin-1")
            self._query = dict(parse_qsl(text, keep_blank_values=True))
        return self._query

    @property
    def root_path(self) -> str:
        """What stands before the path where the server is mounted below another, else ""."""
        root: str = self._scope.get("root_path", "")
        return root

    @property
    def client(self) -> Address | None:
        """The peer."""
        client = self._scope.get("client")
        return None if client is None else Address(client[0], client[1])

    @property
    def state(self) -> SimpleNamespace:
        if self._state is None:
            self._state = SimpleNamespace(request_id=self.request_id)
        return self._state

    def keep_alive_s(self, setting_s: float) -> float:
        """How long a stream for this client may be silent: the server's setting, or half of what the client bears."""
        read_timeout_s = self.head.read_timeout_s
        return setting_s if read_timeout_s is None else min(setting_s, read_timeout_s / 2)

    @property
    def has_read_body(self) -> bool:
        """Whether nothing of the body is left on the connection."""
        return self._body is not None

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ApiError: it is longer than the server's limit, or breaks off: badly chunked, or its client has left; or
                the bodies of all requests together have no room for it.
        """
        if self._body is None:
            self._body = await self._read_body()
            self.cancel_scope.watch_client()
        return self._body

    def drop_body(self) -> None:
        """Frees the body: from now on nobody reads it. For a generation's answer, which may take long, and the end."""
        if self._body is not None:
            self._body = b""
        if self._num_body_bytes:
            self._body_budget.release(self._num_body_bytes)
            self._num_body_bytes = 0

    async def json(self) -> Any:
        """The body as plain data. Raises ApiError "invalid_json"."""
        try:
            return orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            raise ApiError("invalid_json", f"The body is not valid JSON: {error}.") from None

    async def is_disconnected(self) -> bool:
        """Whether the client has left. Reads the body first: what is behind it is how a client leaves."""
        await self.body()
        return self.cancel_scope.reason == "client_closed"

    async def _read_body(self) -> bytes:
        pieces: list[bytes] = []
        if self.head.content_length:
            self._body_budget.check(self.head.content_length)
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ApiError("invalid_request", "The body broke off before its end.")
            if piece := message.get("body", b""):
                pieces.append(piece)
                self._body_budget.hold(len(piece))
                self._num_body_bytes += len(piece)
                if self._num_body_bytes > self._max_body_bytes:
                    raise ApiError(
                        "request_too_large", f"The body is larger than the limit of {self._max_body_bytes} bytes."
                    )
            # With the length known, the host need not be asked once more only to hear that this was all.
            if self._num_body_bytes == self.head.content_length or not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
