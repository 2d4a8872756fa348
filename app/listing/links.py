"""Addresses of the same page with another filter."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import request, url_for

MAX_VALUE = 100


def read_args(names: tuple[str, ...]) -> dict[str, str]:
    """Return the known words of this address, cut to a length that means something."""
    found = {name: request.args.get(name, "").replace("\x00", "")[:MAX_VALUE] for name in names}
    return {name: value for name, value in found.items() if value}


def link_builder(endpoint: str, args: Mapping[str, str], **fixed: Any) -> Callable[..., str]:
    """Return a function that gives the page's address with some words changed; None drops one."""

    def url(**changes: Any) -> str:
        words = {**args, **changes}
        return url_for(endpoint, **fixed, **{k: v for k, v in words.items() if v not in {None, ""}})

    return url
