"""Botyard: the application factory.

Everything is imported where it is used: who wants one module of ours does not load them all.
"""

from typing import TYPE_CHECKING

from app import config as configuration

if TYPE_CHECKING:
    from flask import Flask
    from redis import Redis

    from app.adapters.payments.port import Rail


def create_app(config: configuration.Config | None = None) -> "Flask":
    """Make the app from the environment, or from a given configuration."""
    from flask import Flask

    config = config or configuration.load_config()
    configuration.use_config(config)
    app = Flask(__name__)
    _configure(app, config)
    _init_extensions(app, config)
    _register_blueprints(app)
    _register_texts()
    _join_subjects()
    _register_commands(app)
    return app


def _configure(app: "Flask", config: configuration.Config) -> None:
    app.config.update(
        SECRET_KEY=config.secret_key,
        # An empty address fails at the first query, so that commands without database work.
        SQLALCHEMY_DATABASE_URI=config.database_url or "postgresql+psycopg://localhost/absent",
        SQLALCHEMY_ENGINE_OPTIONS={
            "pool_pre_ping": True,
            "pool_size": 10,
            "max_overflow": 10,
            "pool_timeout": 5,
            "connect_args": {
                "connect_timeout": 5,
                "options": "-c statement_timeout=15000",
                # A server that went silent, not down: give a TCP connection up after 10 s.
                "tcp_user_timeout": 10_000,
            },
        },
        BABEL_TRANSLATION_DIRECTORIES=str(configuration.ROOT / "translations"),
        BABEL_DEFAULT_LOCALE="en",
        RATELIMIT_STORAGE_URI=config.redis_url or "memory://",
        RATELIMIT_ENABLED=config.environment != "testing",
        WTF_CSRF_TIME_LIMIT=None,
        TESTING=config.environment == "testing",
        SEND_FILE_MAX_AGE_DEFAULT=3600,
    )


def _init_extensions(app: "Flask", config: configuration.Config) -> None:
    from app.accounts.sessions import init_sessions
    from app.adapters.exchanges.bases import use_bases
    from app.adapters.exchanges.clock import Clocks
    from app.adapters.exchanges.rate_broker import RateBroker
    from app.adapters.exchanges.traffic import use_network
    from app.adapters.payments import use_rails
    from app.db import db
    from app.extensions import babel, csrf, limiter, login_manager, migrate, redis_client
    from app.formatting import register_formatting
    from app.i18n import LANGUAGES, select_locale, select_timezone
    from app.web import init_web

    redis_client.configure(config.redis_url)
    use_bases(config.exchange_bases)
    use_rails(_rails(config))
    if config.redis_url:
        use_network(RateBroker(_redis), Clocks(_redis))
    db.init_app(app)
    migrate.init_app(app, db, directory=str(configuration.ROOT / "migrations"))
    babel.init_app(app, locale_selector=select_locale, timezone_selector=select_timezone)
    init_sessions(app, config)
    login_manager.init_app(app)
    csrf.init_app(app)
    limiter.init_app(app)
    init_web(app, config)
    register_formatting(app)
    app.jinja_env.globals["languages"] = LANGUAGES


def _rails(config: configuration.Config) -> "dict[str, Rail]":
    """Return the ways to pay that this installation has."""
    from app.adapters.payments.demo import NAME, DemoRail
    from app.payments.added import added_rails
    from app.payments.demo import provider

    rails: dict[str, Rail] = {}
    if config.demo_rail:
        rails[NAME] = DemoRail(provider, config.base_url, (provider.webhook_secret(),))
    if config.stripe_secret_key:
        # Its library is large: only who uses it loads it.
        from app.adapters.payments import stripe
        from app.adapters.payments.stripe.calls import client
        from app.adapters.payments.stripe.rail import StripeRail

        base = config.stripe_api_base
        known = client(config.stripe_secret_key, base)
        # A stand-in shows its pages where it answers calls.
        rails[stripe.NAME] = StripeRail(
            known, config.stripe_webhook_secrets, config.stripe_app_tag, (base,) if base else ()
        )
    return {**rails, **added_rails(config.payment_rails)}


def _redis() -> "Redis":
    from app.extensions import redis_client

    return redis_client.client


def _register_blueprints(app: "Flask") -> None:
    from app.accounts import acting_routes as acting
    from app.accounts import captcha_pages as captcha
    from app.accounts import credential_routes as credentials
    from app.accounts import factor_routes as factors
    from app.accounts import routes as accounts
    from app.accounts import token_routes as tokens
    from app.accounts.deletion import routes as deletion
    from app.accounts.exports import routes as data
    from app.accounts.openid import routes as openid
    from app.accounts.passkeys import routes as passkeys
    from app.accounts.phone import routes as phone
    from app.admin import init_admin
    from app.api import blueprint as api
    from app.bots import routes as bots
    from app.exchanges import routes as exchanges
    from app.extensions import csrf
    from app.faq import routes as faq
    from app.markets import routes as markets
    from app.pages import metrics
    from app.pages import routes as pages
    from app.payments import routes as payments
    from app.payments import webhook_routes as webhooks
    from app.payments.demo import routes as demo_rail
    from app.subscriptions import routes as subscriptions
    from app.support import routes as support
    from app.trades import routes as trades
    from app.wallet import routes as wallet

    for module in (
        pages,
        metrics,
        accounts,
        acting,
        captcha,
        credentials,
        data,
        deletion,
        factors,
        openid,
        passkeys,
        phone,
        tokens,
        exchanges,
        markets,
        bots,
        trades,
        payments,
        webhooks,
        demo_rail,
        subscriptions,
        wallet,
        faq,
        support,
    ):
        app.register_blueprint(module.blueprint)
    # Its requests carry a token instead of a cookie: nothing that a browser would send along.
    csrf.exempt(api)
    app.register_blueprint(api)
    init_admin(app)


def _register_texts() -> None:
    from app.accounts import texts as accounts
    from app.api import texts as api
    from app.bots import texts as bots
    from app.exchanges import texts as exchanges
    from app.faq import texts as faq
    from app.formatting import texts as formatting
    from app.i18n import register_texts
    from app.notifications import texts as notifications
    from app.payments import texts as payments
    from app.settings import texts as settings
    from app.subscriptions import texts as subscriptions
    from app.subscriptions.promotions import texts as promotions
    from app.subscriptions.provider import texts as provider
    from app.support import texts as support
    from app.wallet import texts as wallet

    for module in (
        formatting,
        notifications,
        settings,
        accounts,
        exchanges,
        bots,
        payments,
        subscriptions,
        provider,
        promotions,
        wallet,
        faq,
        support,
        api,
    ):
        register_texts(module.TEXTS)


def _join_subjects() -> None:
    """Load what answers to events, and hand lower subjects the counts of upper ones."""
    from app.accounts import second_factor
    from app.accounts.deletion.unfinished import (
        count_money_with,
        name_unfinished_with,
        read_left_with,
    )
    from app.bots import handlers as bots_handlers  # noqa: F401
    from app.bots import queries as bots
    from app.bots.queries import left, names
    from app.exchanges import handlers as exchanges_handlers  # noqa: F401
    from app.exchanges import remains, wording
    from app.exchanges import service as exchanges
    from app.payments import arrivals, disputes, links, mirroring, receipts, refunds  # noqa: F401
    from app.payments import handlers as payments_handlers  # noqa: F401
    from app.subscriptions import coming, mirror, reconciling, usage  # noqa: F401
    from app.subscriptions import handlers as subscriptions_handlers  # noqa: F401
    from app.subscriptions import links as plan_links
    from app.subscriptions import queries as subscriptions
    from app.subscriptions.provider import prices
    from app.trades import owners
    from app.trades.reach import limit_history_with
    from app.wallet import queries as wallet
    from app.wallet import topups

    arrivals.lead_on_with(plan_links.way_from_checkout)
    mirroring.name_prices_with(prices.what_is_sold)
    receipts.name_next_charge_with(coming.next_charge_after)
    topups.offer_top_ups(links.top_up_address)
    topups.name_refs_with(links.ref_link)
    second_factor.need_with(exchanges.has_guarded_keys)
    usage.count_bots_with(bots.running_bots)
    usage.name_bots_beyond_with(names.names_beyond)
    name_unfinished_with(names.unfinished_names)
    count_money_with(wallet.money_of)
    read_left_with(wording.left_at_exchanges)
    remains.trace_with(left.traces_of)
    limit_history_with(subscriptions.reach_of)
    owners.name_bots_with(bots.bot_labels, bots.settings_at)


def _register_commands(app: "Flask") -> None:
    from app.cli import register_commands

    register_commands(app)
