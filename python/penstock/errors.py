"""The errors Penstock raises on purpose.

PenstockError
├── ApiError     a client's request cannot be answered; carries a row of the error table (`rust/src/error.rs`)
├── ModelError   a model folder cannot be served; one sentence for the operator, exit code 2
└── ConfigError  a setting cannot be used; one sentence for the operator, exit code 2
"""

from penstock import _core


class PenstockError(Exception):
    """Base of all errors that Penstock raises on purpose."""


class ApiError(PenstockError):
    """A request that is refused or failed, by a row of the error table.

    Args:
        kind: the row's name, as "invalid_request" or "model_not_found"; KeyError if there is none.
        message: one sentence for the client.
        param: the request field at fault, as "messages" or "max_tokens".
        retry_after_s: when a retry can succeed, if that is known.
    """

    def __init__(
        self, kind: str, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.code = _core.error_kind(kind)
        self.kind = kind
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class ModelError(PenstockError):
    """A model folder that cannot be served: what was looked for and what was found, in one sentence."""


class ConfigError(PenstockError):
    """A setting that cannot be used: its name, its value and what was expected, in one sentence."""
