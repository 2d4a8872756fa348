"""/api/v1: the product for programs, by access token; one file per subject.

Neither cookies nor sessions count here. Every answer is JSON, errors are problem documents
(RFC 9457), and docs/api.md tells a client all of it.
"""

from app.api import accounts, bots, trades
from app.api.gate import blueprint, is_own
from app.api.problems import http_problem, own_problem

__all__ = ["accounts", "blueprint", "bots", "http_problem", "is_own", "own_problem", "trades"]
