"""What `penstock serve` hands to the supervisor: whole, once, and in no environment."""

import os

import pytest

from penstock import handover


def test_what_is_handed_on_is_taken_once() -> None:
    environ = handover.hand_on("{}", {"HOME": "/", "PENSTOCK_API_KEY": "sk-hush", "PENSTOCK_PORT": "1"})
    assert environ.keys() == {"HOME", handover.VARIABLE}
    descriptor = int(environ[handover.VARIABLE])
    assert os.get_inheritable(descriptor)
    assert handover.take(environ) == "{}"
    assert environ == {"HOME": "/"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
