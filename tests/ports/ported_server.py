"""A ported server with a fault of one's choice: `python ported_server.py PORT FAULT`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from penstock import BaseInferenceApiServer, EndpointConfig

FAULT = sys.argv[2]


class PortedServer(BaseInferenceApiServer):
    @property
    def _endpoints(self) -> list[Any]:
        if FAULT == "entry":
            return [*super()._endpoints, ("/v1/mine", self.ticks)]
        if FAULT == "path":
            return [*super()._endpoints, EndpointConfig(path="v1/mine", handler=self.ticks, methods=["GET"])]
        if FAULT == "parameter":
            return [*super()._endpoints, EndpointConfig(path="/v1/mine", handler=self.injected, methods=["GET"])]
        return [*super()._endpoints, EndpointConfig(path="/ticks", handler=self.ticks, methods=["GET"])]

    async def ticks(self) -> StreamingResponse:
        return StreamingResponse(self._ticks(), media_type="text/event-stream")

    async def _ticks(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "data: tick\n\n"
                await asyncio.sleep(0.01)
        finally:
            sys.stderr.write("ticks closed\n")

    async def injected(self, database: Any) -> None: ...

    async def chat_completions(self, request: Any, raw_request: Any) -> Any: ...

    async def completions(self, request: Any, raw_request: Any) -> Any: ...

    async def on_startup(self) -> None:
        if FAULT == "startup":
            raise OSError("no database")

    async def on_shutdown(self) -> None:
        if FAULT == "shutdown":
            raise OSError("the database is gone")


if __name__ == "__main__":
    PortedServer(server_name="Ported").run(port=int(sys.argv[1]), workers=2 if FAULT == "workers" else 1)
