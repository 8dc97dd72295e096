"""The messages between Penstock's services: commands, events, views and errors.

Pure data: frozen `msgspec` Structs and their codecs. Nothing here knows of NATS, HTTP or a clock.
"""
