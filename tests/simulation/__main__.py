"""Run one seed again, and show what was stored: `python -m tests.simulation 123`."""

import sys

from tests.simulation.story import Story


def main() -> None:
    """Run the seed that the command line gives."""
    story = Story(int(sys.argv[1]))
    try:
        story.run()
    finally:
        for stored in story.world.cluster.log.stored:
            event = stored.event
            line = f"{stored.seq:5} {event.time:%H:%M:%S} {event.aggregate} {event.version} {event.actor} {event.data}"
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
