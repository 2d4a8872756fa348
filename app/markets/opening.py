"""The source of prices that the configuration asks for."""

from app.config import Config
from app.markets.public_source import PublicSource
from app.markets.recordings import choose_recordings
from app.markets.replay import ReplaySource
from app.markets.sources import Source
from app.markets.synthetic import SyntheticSource


def open_source(config: Config, known: frozenset[str] = frozenset()) -> Source:
    """Open the configured source; recordings whose identity is `known` are not checked again.

    Raise ConfigError or BadRecordingError when there is nothing that can be played.
    """
    if config.market_source == "replay" and config.market_replay is not None:
        return ReplaySource(
            choose_recordings(config.market_replay), config.market_replay_speed, known
        )
    if config.market_source == "ccxt":
        return PublicSource()
    return SyntheticSource(config.market_seed)
