"""How many files a process may have open: every connection is one."""

from __future__ import annotations

import resource

_WANTED = 65536


def raise_file_limit() -> None:
    """Lets this process, and those it starts, have as many open files as the system allows without privilege."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
