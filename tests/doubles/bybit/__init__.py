"""A hostile stand-in for Bybit's v5 interface: an HTTP server with books of its own.

It shares no line with the product, so that its matcher and the product's check each other.
`venue` holds the books, `protocol` speaks v5, `faults` spoils answers, `server` listens, `control`
is how a test reaches in.
"""
