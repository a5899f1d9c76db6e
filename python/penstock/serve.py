"""Starts the supervisor, as which a server runs: for `penstock serve`, and for a server of one's own.

`penstock serve` becomes a supervisor that knows a host, a port and a log level. It imports neither JAX nor pydantic nor
tokenizers, and starts no thread before it has forked its worker, which runs `penstock.asgi`.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from penstock import handover
from penstock.errors import ConfigError
from penstock.life.open_files import raise_file_limit
from penstock.life.port_claim import PortClaim, resolve

if TYPE_CHECKING:
    from penstock.config import Settings

logger = logging.getLogger("penstock.serve")

EXIT_REFUSED = 2

#: Connections that wait in the kernel, and connections served at once. Refusing work is admission's job, which answers
#: 503 with a reason; the host would just leave a connection unread.
_BACKLOG = 2048
_MAX_CONNECTIONS = 8192

RELOAD_NEEDS_A_NAME = (
    "reload=True starts the server anew from its source, so it must have a name that can be imported: "
    "keep it in a variable of a module and call run() on it from that file, or penstock.serve.run('module:variable')."
)


def replace_process(settings: Settings) -> NoReturn:
    """Becomes the supervisor of a server with `settings`. Drops everything that checking them has imported.

    What `ps` shows says what is served, and no key. Its port is claimed already; the claim goes along.
    """
    model = [] if settings.model is None else [str(settings.model)]
    shown = ["serve", *model, "--engine", settings.engine, "--host", settings.host, "--port", str(settings.port)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(
        sys.executable,
        [sys.executable, "-P", "-m", "penstock", *shown],
        handover.hand_on(settings.to_json(), os.environ),
    )


def supervise(environ: MutableMapping[str, str]) -> NoReturn:
    """Runs the server whose settings were handed on, until it is stopped; never returns."""
    text = handover.take(environ)
    settings = json.loads(text)
    _host(
        partial(_load_penstock, text),
        name="penstock.asgi:app",
        address=resolve(settings["host"]),
        port=settings["port"],
        log_level=settings["log_level"],
        restarts=settings["restart"],
        idle_timeout_s=settings["idle_timeout_s"],
    )
    sys.exit(0)


def run(
    target: str | Callable[..., Any],
    *,
    host: str,
    port: int,
    workers: int = 1,
    log_level: str = "info",
    ssl_keyfile: str | Path | None = None,
    ssl_certfile: str | Path | None = None,
    reload: bool = False,
    restarts: int = 0,
    idle_timeout_s: float = 75.0,
) -> None:
    """Serves an ASGI application until SIGTERM or SIGINT.

    Args:
        target: "module:attribute", or the application itself, which then must hold neither threads nor JAX yet.
        host: a name or an address of this machine.
        port: to bind.
        workers: 1; more are refused, as one engine has one process.
        log_level: Granian's own log shows warnings and errors, at "debug" everything.
        ssl_keyfile, ssl_certfile: TLS is on when both are given.
        reload: restart the worker when a source file changes; needs a target that can be imported.
        restarts: how often within ten minutes a worker that was killed is started again.
        idle_timeout_s: how long the host keeps a connection of HTTP/1 open between requests.

    Raises:
        SystemExit: with code 2, after a sentence on stderr, when it cannot be served like that; with code 1 when the
            worker could not start, ended by itself, or failed to stop.
    """
    try:
        if workers != 1:
            from penstock.life.only_worker import SECOND_WORKER

            raise ConfigError(SECOND_WORKER)
        if reload:
            target = _reloadable(target)
        claim = PortClaim(host, port)
    except ConfigError as error:
        sys.stderr.write(f"penstock: {error}\n")
        sys.exit(EXIT_REFUSED)
    has_tls = ssl_keyfile is not None and ssl_certfile is not None
    try:
        _host(
            None if isinstance(target, str) else partial(_load, target),
            name=target if isinstance(target, str) else "penstock",
            address=claim.address,
            port=port,
            log_level=log_level,
            restarts=restarts,
            idle_timeout_s=idle_timeout_s,
            reload=reload,
            reload_paths=[Path(sys.path[0]).resolve()],  # the script's folder, or where `python -m` was said
            ssl_key=Path(ssl_keyfile) if has_tls and ssl_keyfile else None,
            ssl_cert=Path(ssl_certfile) if has_tls and ssl_certfile else None,
        )
    finally:
        claim.release()


def _host(load: Callable[[], Any] | None, *, name: str, log_level: str, idle_timeout_s: float, **options: Any) -> None:
    """Runs Granian with the application that `load` returns in the worker, else the one that `name` imports.

    Raises:
        SystemExit: with code 1.
    """
    import multiprocessing

    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    from penstock.supervisor import Supervisor

    raise_file_limit()
    if sys.platform == "linux":
        # Forked, a worker has the application as it is; a reload reads every module anew.
        multiprocessing.set_start_method("spawn" if options.get("reload") else "fork", force=True)
    supervisor = Supervisor(
        name,
        interface=Interfaces.ASGI,
        workers=1,
        loop=_loop(),
        http=HTTPModes.auto,
        http1_settings=HTTP1Settings(header_read_timeout=round(1000 * idle_timeout_s)),
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_MAX_CONNECTIONS,
        log_level=LogLevels.debug if log_level == "debug" else LogLevels.warning,
        log_dictconfig=_log_config(),
        **options,
    )
    if load is None:
        supervisor.serve()
    else:
        supervisor.serve(target_loader=load, wrap_loader=False)
    if supervisor.has_failed:
        sys.exit(1)


def _load(target: Callable[..., Any]) -> Callable[..., Any]:
    """In the worker: an application that was made before it."""
    from penstock.life.lifecycle import block_signals

    block_signals()
    return target


def _load_penstock(handed_on: str) -> Callable[..., Any]:
    """In the worker: Penstock, with the settings that `penstock serve` has checked."""
    from penstock.asgi import Application

    return Application(handed_on)


def _reloadable(target: str | Callable[..., Any]) -> str:
    """What a worker imports to have `target` anew.

    Raises:
        ConfigError: it has no name, or nothing here can watch files.
    """
    name = target if isinstance(target, str) else _name_in_main(target)
    if name is None:
        raise ConfigError(RELOAD_NEEDS_A_NAME)
    if importlib.util.find_spec("watchfiles") is None:
        raise ConfigError("reload=True needs a package that watches files: pip install watchfiles.")
    return name


def _name_in_main(target: Callable[..., Any]) -> str | None:
    """ "module:variable" of the script or module that this process runs, where it holds `target`."""
    main = sys.modules["__main__"]
    module = main.__spec__.name if main.__spec__ else Path(getattr(main, "__file__", None) or "").stem
    found = (variable for variable, value in vars(main).items() if value is target and module)
    return next((f"{module}:{variable}" for variable in found), None)


def _loop() -> Any:
    from granian.constants import Loops

    if importlib.util.find_spec("uvloop"):
        return Loops.uvloop
    logger.warning("uvloop is not installed: using asyncio's own loop")
    return Loops.asyncio


def _log_config() -> dict[str, Any]:
    """The supervisor's log and Granian's, in the shape of ours, on stderr."""
    line = "%(asctime)s %(levelname)-7s {}: %(message)s"
    sources = {"_granian": "granian", "penstock.supervisor": "supervisor"}
    return {
        "formatters": {name: {"format": line.format(name), "datefmt": "%H:%M:%S"} for name in sources.values()},
        "handlers": {
            name: {"formatter": name, "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
            for name in sources.values()
        },
        "loggers": {
            source: {"handlers": [name], "level": "WARNING", "propagate": False} for source, name in sources.items()
        },
    }
