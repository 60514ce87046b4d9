"""Whether a request that changes something comes from our own pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

FROM_HERE: Final = frozenset({"same-origin", "none"})
"""`none` is what a browser says of what its user typed or opened."""


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser says, of its own accord, that one of our pages sent this.

    Browsers send Sec-Fetch-Site only over HTTPS and to this machine itself; else Origin, which
    they send with every POST, must name the host that was asked.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in FROM_HERE
    origin, host = headers.get("origin"), headers.get("host")
    return origin is not None and host is not None and urlsplit(origin).netloc == host
