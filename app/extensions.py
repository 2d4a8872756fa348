"""Extensions as objects without an app; create_app() joins them."""

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response
from flask_babel import Babel
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_wtf.csrf import CSRFProtect
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

REDIS_TIMEOUT_S = 2

log = logging.getLogger(__name__)


class PatientLimiter(Limiter):
    """Refuses while Redis is away, as its parent does, but undoes no answer that is made already.

    Some requests are counted only once their answer is known (log-ins that failed, accounts that
    were made). What they did is done by then: an error would say that it was not.
    """

    def init_app(self, app: Flask) -> None:
        """Join the app."""
        super().init_app(app)
        hooks = app.after_request_funcs[None]
        hooks[-1] = _or_the_answer(hooks[-1])


def _or_the_answer(hook: Callable[[Response], Any]) -> Callable[[Response], Any]:
    def finish(response: Response) -> Any:
        try:
            return hook(response)
        except RedisError as error:
            log.warning("limit_not_counted error=%s", type(error).__name__)
            return response

    return finish


babel = Babel()
csrf = CSRFProtect()
# Without headers of its own: it would ask Redis for them after a request is done, and call what was
# done a fault where Redis is away by then.
limiter = PatientLimiter(key_func=get_remote_address)
login_manager = LoginManager()
migrate = Migrate()


class RedisClient:
    """The process's Redis connection pool, opened on first use.

    Without retries: with Redis down a page must say so at once, not after several seconds.
    """

    def __init__(self) -> None:
        self._url = ""
        self._client: Redis | None = None

    def configure(self, url: str) -> None:
        self._url = url
        self._client = None

    @property
    def client(self) -> Redis:
        if self._client is None:
            self._client = Redis.from_url(
                self._url,
                socket_timeout=REDIS_TIMEOUT_S,
                socket_connect_timeout=REDIS_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
                # Asks each new connection for a push protocol that Valkey does not know.
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
            )
        return self._client

    @property
    def url(self) -> str:
        return self._url


redis_client = RedisClient()
