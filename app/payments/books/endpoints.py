"""Whether providers send us every callback that we need: staff set that up at the provider."""

import logging
from typing import Any

from redis.exceptions import RedisError

from app.adapters.payments import rail_named
from app.adapters.payments.books import Endpoint, endpoints_of
from app.db import utc_now
from app.errors import NotFound
from app.extensions import redis_client
from app.health import ENDPOINT_KEYS
from app.payments.paying import site_url

log = logging.getLogger(__name__)


def address_of(rail: str) -> str:
    """Return the address to which a rail sends its callbacks."""
    return site_url(f"/webhooks/{rail}")


def check(rail: str) -> Endpoint:
    """Ask a rail what it sends us, and leave that for the log and the page of services."""
    endpoints = endpoints_of(rail_named(rail))
    if endpoints is None:
        raise NotFound("unknown_rail")
    found = endpoints.endpoint(address_of(rail))
    if not found.is_on:
        log.error("callbacks_not_sent rail=%s address=%s", rail, address_of(rail))
    elif found.missing:
        log.error("callbacks_missing rail=%s types=%s", rail, ",".join(found.missing))
    _keep(rail, found)
    return found


def _keep(rail: str, found: Endpoint) -> None:
    values: dict[Any, str] = {
        "at": str(utc_now().timestamp()),
        "is_on": str(int(found.is_on)),
        "missing": " ".join(found.missing),
    }
    try:
        redis_client.client.hset(f"{ENDPOINT_KEYS}{rail}", mapping=values)
    except RedisError as error:
        log.warning("endpoint_report_not_kept error=%s", type(error).__name__)
