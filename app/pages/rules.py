"""Small pure rules of the public pages."""


def stream_capacity(threads: int) -> int:
    """Return how many event streams a web process takes and still answers pages."""
    return max(1, threads - 16)
