#!/bin/sh
# Parameters come as JSON in PARAMETERS; files in outputs/ are the outputs of the run.
mkdir -p outputs
echo "$PARAMETERS" > outputs/parameters.json
echo "done"
