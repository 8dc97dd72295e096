"""Services by other designs, to be measured beside this one: `python -m benchmarks --only peers`."""
