"""One small driver for each client library; `scenario.py` runs the same story through all of them.

A driver has the class `Client(bootstrap, version)` with the facts `codecs`, `groups` (does it join groups),
`timestamps` and `headers`, and the calls `create_topic`, `producer`, `reader` and `member`.
"""
