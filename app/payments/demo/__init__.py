"""A payment provider played by ourselves, for laptops and tests: the other side of the demo rail.

It shares nothing with the rest but the database: it has tables and transactions of its own, is
reached through the rail's port, and its callbacks come signed over HTTP like a stranger's.
"""
