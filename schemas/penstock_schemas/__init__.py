"""The words that Penstock's services say to each other: commands, events, views and errors.

Pure data: frozen `msgspec` Structs and their codecs. Nothing here knows of NATS, HTTP or a clock.
"""
