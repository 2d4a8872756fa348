"""Tests of the pure trading core: no database, no server, seconds."""
