"""The environment as one typed value; nothing else reads os.environ."""

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

from app.encryption import KeyRing, new_key, parse_key_ring
from app.errors import ConfigError

Environment = Literal["production", "development", "testing"]
MarketSource = Literal["synthetic", "replay", "ccxt"]

ROOT = Path(__file__).resolve().parent.parent
RUN_FILE = ROOT / "var" / "run.env"
MIN_SECRET_LENGTH = 32
MIN_METRICS_TOKEN_LENGTH = 16
MAX_REPLAY_SPEED = 600
PROVIDER_NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
# What need not be written down for them: how they are called, and who they say they are.
KNOWN_PROVIDERS = {
    "google": ("Google", "https://accounts.google.com"),
    "github": ("GitHub", "https://github.com"),
}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class SignInProvider:
    """Somebody else by whom people may sign in: any OpenID provider, or GitHub."""

    name: str
    label: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)

    @property
    def is_github(self) -> bool:
        return self.name == "github"


@dataclass(frozen=True, slots=True)
class Config:
    """All that an operator may set, checked and typed."""

    environment: Environment
    secret_key: str = field(repr=False)
    key_ring: KeyRing = field(repr=False)
    database_url: str = field(repr=False)
    # For migrations only; what serves does without.
    database_owner_url: str | None = field(repr=False)
    redis_url: str = field(repr=False)
    base_url: str
    # The only host with the staff desk; None: every host has it.
    admin_host: str | None
    trusted_proxies: int
    web_threads: int
    market_source: MarketSource
    market_replay: Path | None
    market_replay_speed: Decimal
    market_seed: int
    demo: bool
    # A provider that we play ourselves: real services must not take its money for real.
    demo_rail: bool
    # Ways to pay from outside of this product, each as `package.module:callable`.
    payment_rails: tuple[str, ...]
    smtp_url: str | None = field(repr=False)
    mail_from: str
    # Where text messages are handed over; without it they stay here, in production there are none.
    sms_url: str | None
    sms_token: str | None = field(repr=False)
    sms_sender: str
    sms_timeout_s: int
    outgoing_addresses: tuple[str, ...]
    address_probe_url: str | None
    exchange_bases: Mapping[str, str]
    audit_seconds: int
    absence_grace_seconds: int | None
    session_idle: timedelta
    session_absolute: timedelta
    stripe_secret_key: str | None = field(repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    stripe_api_base: str | None
    # What marks our own objects in an account of Stripe that other apps use too.
    stripe_app_tag: str
    metrics_token: str | None = field(repr=False)
    captcha: bool
    recaptcha_site_key: str | None
    recaptcha_secret: str | None = field(repr=False)
    # Where people's own data lie until they are taken away: outside of what is served.
    exports_dir: Path
    sign_in_providers: tuple[SignInProvider, ...]

    @property
    def stripe_is_live(self) -> bool:
        """Tell whether real money moves at Stripe."""
        return self.stripe_secret_key is not None and "_live_" in self.stripe_secret_key

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def https(self) -> bool:
        return self.base_url.startswith("https://")


def load_config(environ: Mapping[str, str] | None = None) -> Config:
    """Read the environment, filled up from a running `make run`.

    Raises ConfigError, which names the variable.
    """
    if environ is None:
        environ = _of_this_process()
    environment = _environment(environ)
    strict = environment == "production"
    return Config(
        environment=environment,
        secret_key=_secret_key(environ, strict),
        key_ring=_key_ring(environ, strict),
        database_url=_sqlalchemy_url(_required(environ, "DATABASE_URL", strict, "")),
        database_owner_url=_sqlalchemy_url(environ.get("DATABASE_OWNER_URL", "")) or None,
        redis_url=_required(environ, "REDIS_URL", strict, ""),
        base_url=_required(environ, "BASE_URL", strict, "http://localhost:8000").rstrip("/"),
        admin_host=environ.get("ADMIN_HOST", "").strip().lower() or None,
        trusted_proxies=_whole(environ, "TRUSTED_PROXIES", 0, 0, 5),
        web_threads=_whole(environ, "WEB_THREADS", 64, 1, 1000),
        market_source=_market_source(environ, strict),
        market_replay=Path(environ["MARKET_REPLAY"]) if environ.get("MARKET_REPLAY") else None,
        market_replay_speed=_speed(environ),
        market_seed=_whole(environ, "MARKET_SEED", 7, 0, 2**31),
        demo=environ.get("DEMO", "0" if strict else "1") != "0",
        demo_rail=environ.get("DEMO_RAIL", "0" if strict else "1") != "0",
        payment_rails=_list(environ, "PAYMENT_RAILS"),
        smtp_url=environ.get("SMTP_URL") or None,
        mail_from=environ.get("MAIL_FROM", "Botyard <no-reply@localhost>"),
        sms_url=_sms_url(environ, strict),
        sms_token=environ.get("SMS_TOKEN") or None,
        sms_sender=environ.get("SMS_SENDER", "Botyard"),
        sms_timeout_s=_whole(environ, "SMS_TIMEOUT", 10, 1, 60),
        outgoing_addresses=_list(environ, "OUTGOING_ADDRESSES"),
        address_probe_url=_probe_url(environ),
        exchange_bases=_exchange_bases(environ, strict),
        audit_seconds=_whole(environ, "AUDIT_SECONDS", 30, 1, 600),
        absence_grace_seconds=_absence_grace(environ, strict),
        session_idle=timedelta(minutes=_whole(environ, "SESSION_IDLE_MINUTES", 30, 1, 1440)),
        session_absolute=timedelta(hours=_whole(environ, "SESSION_HOURS", 12, 1, 24)),
        stripe_secret_key=environ.get("STRIPE_SECRET_KEY") or None,
        stripe_webhook_secrets=_list(environ, "STRIPE_WEBHOOK_SECRETS"),
        stripe_api_base=_stripe_api_base(environ, strict),
        stripe_app_tag=environ.get("STRIPE_APP_TAG") or "botyard",
        metrics_token=_metrics_token(environ),
        captcha=environ.get("CAPTCHA", "0" if environment == "testing" else "1") != "0",
        recaptcha_site_key=environ.get("RECAPTCHA_SITE_KEY") or None,
        recaptcha_secret=environ.get("RECAPTCHA_SECRET") or None,
        exports_dir=Path(environ.get("EXPORTS_DIR") or ROOT / "var" / "exports"),
        sign_in_providers=_sign_in_providers(environ, strict),
    )


def read_env_file(path: Path) -> dict[str, str]:
    """Read NAME=value lines; an absent file is empty."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def _environment(environ: Mapping[str, str]) -> Environment:
    name = environ.get("BOTYARD_ENV", "production")
    if name not in {"production", "development", "testing"}:
        raise ConfigError("unknown_environment", field="BOTYARD_ENV", given=name)
    return cast(Environment, name)


def _secret_key(environ: Mapping[str, str], strict: bool) -> str:
    # Outside production a fresh random key is enough: it only signs out whoever was signed in.
    key = _required(environ, "SECRET_KEY", strict, secrets.token_urlsafe(48))
    if len(key) < MIN_SECRET_LENGTH:
        raise ConfigError("secret_too_short", field="SECRET_KEY", minimum=MIN_SECRET_LENGTH)
    return key


def _metrics_token(environ: Mapping[str, str]) -> str | None:
    token = environ.get("METRICS_TOKEN") or None
    # A header carries neither spaces at its ends nor letters beyond ASCII as they were typed.
    if token is not None and not (token.isascii() and token == token.strip()):
        raise ConfigError("unusable_token", field="METRICS_TOKEN")
    if token is not None and len(token) < MIN_METRICS_TOKEN_LENGTH:
        raise ConfigError(
            "secret_too_short", field="METRICS_TOKEN", minimum=MIN_METRICS_TOKEN_LENGTH
        )
    return token


def _key_ring(environ: Mapping[str, str], strict: bool) -> KeyRing:
    text = _required(environ, "BOTYARD_MASTER_KEYS", strict, "")
    if not text:
        return KeyRing({"ephemeral": new_key()}, "ephemeral")
    try:
        return parse_key_ring(text)
    except ValueError as error:
        raise ConfigError("bad_master_keys", field="BOTYARD_MASTER_KEYS", hint=str(error)) from None


def _of_this_process() -> dict[str, str]:
    stored = read_env_file(RUN_FILE)
    if os.environ.get("DATABASE_URL"):
        # The owner of another database than the one that is meant.
        stored.pop("DATABASE_OWNER_URL", None)
    return {**stored, **os.environ}


def _sqlalchemy_url(url: str) -> str:
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def _market_source(environ: Mapping[str, str], strict: bool) -> MarketSource:
    fallback = "replay" if environ.get("MARKET_REPLAY") else "ccxt" if strict else "synthetic"
    name = environ.get("MARKET_SOURCE") or fallback
    if name not in {"synthetic", "replay", "ccxt"}:
        raise ConfigError("unknown_market_source", field="MARKET_SOURCE", given=name)
    if name == "replay" and not environ.get("MARKET_REPLAY"):
        raise ConfigError("missing_variable", field="MARKET_REPLAY")
    return cast(MarketSource, name)


def _speed(environ: Mapping[str, str]) -> Decimal:
    text = environ.get("MARKET_REPLAY_SPEED") or "60"
    try:
        speed = Decimal(text.removesuffix("x").removesuffix("×"))
    except InvalidOperation:
        raise ConfigError("not_a_number", field="MARKET_REPLAY_SPEED", given=text) from None
    # NaN can't even be compared.
    if not speed.is_finite() or not 1 <= speed <= MAX_REPLAY_SPEED:
        raise ConfigError(
            "out_of_range", field="MARKET_REPLAY_SPEED", given=text, minimum=1, maximum=600
        )
    return speed


def _required(environ: Mapping[str, str], name: str, strict: bool, fallback: str) -> str:
    value = environ.get(name, "")
    if not value and strict:
        raise ConfigError("missing_variable", field=name)
    return value or fallback


def _whole(environ: Mapping[str, str], name: str, fallback: int, low: int, high: int) -> int:
    text = environ.get(name) or str(fallback)
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ConfigError("out_of_range", field=name, given=text, minimum=low, maximum=high)
    return int(text)


def _list(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in environ.get(name, "").split(","))))


def _probe_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("ADDRESS_PROBE_URL") or None
    if url is not None and not url.startswith("https://"):
        raise ConfigError("not_https", field="ADDRESS_PROBE_URL")
    return url


def _sms_url(environ: Mapping[str, str], strict: bool) -> str | None:
    # Numbers and codes travel there, and the token with them.
    url = environ.get("SMS_URL") or None
    own = ("http://localhost", "http://127.0.0.1")
    is_safe = url is None or url.startswith("https://") or (not strict and url.startswith(own))
    if not is_safe:
        raise ConfigError("not_https", field="SMS_URL")
    return url


def _stripe_api_base(environ: Mapping[str, str], strict: bool) -> str | None:
    # The secret key travels there.
    url = environ.get("STRIPE_API_BASE") or None
    if url is not None and not is_trusted_url(url, loopback=not strict):
        raise ConfigError("not_https", field="STRIPE_API_BASE")
    return url.rstrip("/") if url else None


def _exchange_bases(environ: Mapping[str, str], strict: bool) -> dict[str, str]:
    # Orders with real keys would go to whoever stands there.
    pairs = [pair.partition("=") for pair in _list(environ, "EXCHANGE_BASES")]
    if pairs and strict:
        raise ConfigError("not_in_production", field="EXCHANGE_BASES")
    return {name.strip(): base.strip().rstrip("/") for name, _, base in pairs}


def _sign_in_providers(environ: Mapping[str, str], strict: bool) -> tuple[SignInProvider, ...]:
    names = _list(environ, "SIGN_IN_PROVIDERS")
    for name in names:
        if not PROVIDER_NAME.fullmatch(name) or names.count(name) > 1:
            raise ConfigError("unusable_name", field="SIGN_IN_PROVIDERS", given=name)
    return tuple(_sign_in_provider(environ, strict, name) for name in names)


def _sign_in_provider(environ: Mapping[str, str], strict: bool, name: str) -> SignInProvider:
    label, issuer = KNOWN_PROVIDERS.get(name, (name.capitalize(), ""))
    prefix = f"SIGN_IN_{name.upper()}"
    issuer = _required(environ, f"{prefix}_ISSUER", not issuer, issuer)
    if not is_trusted_url(issuer, loopback=not strict):
        raise ConfigError("not_https", field=f"{prefix}_ISSUER")
    return SignInProvider(
        name=name,
        label=environ.get(f"{prefix}_LABEL") or label,
        issuer=issuer,
        client_id=_required(environ, f"{prefix}_CLIENT_ID", True, ""),
        client_secret=_required(environ, f"{prefix}_CLIENT_SECRET", True, ""),
    )


def is_trusted_url(url: str, *, loopback: bool) -> bool:
    """Tell whether what is sent to a URL stays secret: https, or this machine where allowed."""
    parts = urlsplit(url)
    at_home = loopback and parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or at_home)


def _absence_grace(environ: Mapping[str, str], strict: bool) -> int | None:
    # Too short a time, and an order that the exchange remembers again has a twin.
    if not environ.get("ABSENCE_GRACE_SECONDS"):
        return None
    if strict:
        raise ConfigError("not_in_production", field="ABSENCE_GRACE_SECONDS")
    return _whole(environ, "ABSENCE_GRACE_SECONDS", 0, 0, 3600)


class _Current:
    """The configuration of this process, set once by create_app()."""

    config: Config | None = None


def use_config(config: Config) -> None:
    """Make this the configuration of the process."""
    _Current.config = config


def current_config() -> Config:
    """Return the configuration of the process; create_app() must have run."""
    if _Current.config is None:
        raise RuntimeError("create_app() has not run")
    return _Current.config
