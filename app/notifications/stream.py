"""Hints to open pages: what changed, never the data itself; the page re-reads the block.

A hint may be lost (no browser open, Redis away); pages also re-read when they reconnect.
"""

import json
import logging
from collections.abc import Iterable, Mapping

from redis import Redis
from redis.exceptions import RedisError

from app.extensions import redis_client

log = logging.getLogger(__name__)


def channel(client: Redis) -> str:
    """Return the channel of hints; Redis keeps databases apart, but not their channels."""
    return f"hints:{client.connection_pool.connection_kwargs.get('db') or 0}"


def hint(user_id: int, *topics: str) -> None:
    """Tell the open pages of one person that these topics changed; call it after the commit."""
    _publish([json.dumps({"user": user_id, "topic": topic}) for topic in topics])


def hint_many(topics: Mapping[int, Iterable[str]]) -> None:
    """Tell the open pages of many people, each with the topics that changed, in one go."""
    _publish(
        [
            json.dumps({"user": user_id, "topic": topic})
            for user_id, changed in topics.items()
            for topic in changed
        ]
    )


def hint_everybody(topics: Iterable[str]) -> None:
    """Tell all open pages that public topics (prices) changed."""
    _publish([json.dumps({"user": None, "topic": topic}) for topic in topics])


def _publish(messages: list[str]) -> None:
    try:
        pipeline = redis_client.client.pipeline(transaction=False)
        for message in messages:
            pipeline.publish(channel(redis_client.client), message)
        pipeline.execute()
    except RedisError as error:
        log.warning("hint_lost error=%s", type(error).__name__)
