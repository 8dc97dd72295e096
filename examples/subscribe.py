"""Print what happens to jobs, live, with nothing but a NATS client.

    pip install nats-py
    python subscribe.py [nats://127.0.0.1:4222] ['penstock.live.>']

One line a message: a JSON object with its subject, its headers and the event as text. The text is byte for byte what
the log holds, so that hashes can be checked. Ctrl-C ends it.
"""

import asyncio
import json
import signal
import sys

import nats


async def main(url: str, subject: str) -> None:
    connection = await nats.connect(url, max_reconnect_attempts=-1)

    async def show(message) -> None:
        line = {"subject": message.subject, "headers": dict(message.headers), "event": message.data.decode()}
        print(json.dumps(line), flush=True)

    await connection.subscribe(subject, cb=show)
    # The PING of the first flush overtakes the subscription, which nats-py buffers; that of the second follows it.
    await connection.flush()
    await connection.flush()
    print(f"subscribed to {subject}", file=sys.stderr, flush=True)

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await connection.drain()


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *["nats://127.0.0.1:4222", "penstock.live.>"][len(sys.argv) - 1 :]]
    asyncio.run(main(*arguments))
