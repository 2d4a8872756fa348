"""The pure trading core: it decides, it never acts.

Only the standard library, `app.money` and `app.errors` are known here: no web, no database, no
network, no clock and no randomness. Live trading, paper trading and the back-test all call
`engine.tick`.
"""
