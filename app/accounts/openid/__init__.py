"""Signing in by somebody else's log-in: Google, GitHub, or any OpenID provider."""
