"""The `penstock` command: reads flags, checks everything that can be checked, and starts the server.

Every refusal is one sentence on stderr and exit code 2. Imports no engine: `--help` and a wrong flag cost no JAX.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from penstock import preflight, serve
from penstock.config import Settings, flag_of, is_list, is_size, load_settings, unknown_variables
from penstock.console import start_logging
from penstock.errors import ConfigError, ModelError
from penstock.serve import EXIT_REFUSED

logger = logging.getLogger("penstock.cli")


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser that refuses in one sentence, without the usage in front of it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:  # said here, a subcommand's own flags are refused under its name
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_REFUSED, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's own) and returns the exit code."""
    parser = _build_parser()
    arguments = vars(parser.parse_args(argv))
    if arguments.pop("version"):
        from importlib.metadata import version

        sys.stdout.write(f"penstock {version('penstock')}\n")
        return 0
    if arguments.pop("command") is None:
        parser.print_help(sys.stderr)
        return EXIT_REFUSED
    try:
        _serve(arguments)
    except (ConfigError, ModelError) as error:
        sys.stderr.write(f"penstock serve: {error}\n")
        return EXIT_REFUSED


def _serve(flags: dict[str, Any]) -> NoReturn:
    settings = load_settings(flags, os.environ)
    start_logging(settings.log_level)
    if unknown := unknown_variables(os.environ):
        logger.warning("No setting is named by %s", ", ".join(unknown))
    preflight.check(settings)
    serve.replace_process(settings)


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="penstock", description="An OpenAI-compatible inference server.", allow_abbrev=False, add_help=True
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="serve", parser_class=_Parser)
    serve = commands.add_parser(
        "serve",
        help="serve a model",
        description="Serves a model to OpenAI clients. Without MODEL, the small model that comes with Penstock.",
        epilog="A flag beats its PENSTOCK_* variable (as PENSTOCK_PORT), a variable beats the --config file.",
        allow_abbrev=False,
    )
    for name in Settings.model_fields:
        _add_setting(serve, name)
    serve.add_argument("--config", metavar="FILE", help="TOML file of settings, under the flags' names")
    return parser


def _add_setting(parser: argparse.ArgumentParser, name: str) -> None:
    """A flag for setting `name`. Its text goes on as it is: `Settings` is what checks values, from any source."""
    field = Settings.model_fields[name]
    default = "" if field.default is None or is_list(name) else f" (default: {_shown(name)})"
    options: dict[str, Any] = {"help": f"{field.description}{default}".replace("%", "%%"), "default": None}
    if name == "model":
        parser.add_argument("model", nargs="?", metavar="MODEL", **options)
        return
    if is_list(name):
        options["action"] = "append"
    parser.add_argument(flag_of(name), dest=name, metavar=_metavar(name), **options)


def _shown(name: str) -> str:
    """A setting's default, as it would be typed."""
    default = Settings.model_fields[name].default
    if is_size(name) and default % (1 << 20) == 0:
        return f"{default >> 20}M"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _metavar(name: str) -> str:
    """What stands for the value in `--help`: the choices, the unit, or what kind of value it is."""
    annotation = Settings.model_fields[name].annotation
    kinds = (annotation, *get_args(annotation))
    for kind in kinds:
        if get_origin(kind) is Literal:
            return "|".join(get_args(kind))
    if is_size(name):
        return "BYTES"
    if float in kinds:
        return "MS" if name.endswith("_ms") else "SECONDS"
    if int in kinds:
        return "N"
    return "FOLDER" if Path in kinds else name.rsplit("_", 1)[-1].upper()
