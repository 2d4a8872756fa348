"""Extensions as objects without an app; create_app() joins them."""

from flask_babel import Babel
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_wtf.csrf import CSRFProtect
from redis import Redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

REDIS_TIMEOUT_S = 2

babel = Babel()
csrf = CSRFProtect()
# Without headers of its own: it would ask Redis for them after a request is done, and call what was
# done a fault where Redis is away by then.
limiter = Limiter(key_func=get_remote_address)
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
