#!/usr/bin/env bash
# Submit the workflows beside this script with nothing but curl, wait for them, and show what they produced.
#
#   WES_URL                  http://127.0.0.1:8000/ga4gh/wes/v1 when it is not set
#   WES_TOKEN                a bearer token, or
#   WES_USER, WES_PASSWORD   a name and password
#   WES_TIMEOUT_S            seconds that each run may take; 300 when it is not set
set -euo pipefail
command -v curl >/dev/null || { echo "this script needs curl, which is not installed" >&2; exit 2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
url=${WES_URL:-http://127.0.0.1:8000/ga4gh/wes/v1}
timeout_s=${WES_TIMEOUT_S:-300}

# Credentials are passed to curl on its standard input, because other users of the machine can read command lines.
credentials() {
    if [ -n "${WES_TOKEN:-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$WES_TOKEN"
    elif [ -n "${WES_USER:-}" ]; then
        printf 'user = "%s:%s"\n' "$WES_USER" "${WES_PASSWORD:-}"
    fi
}

wes() { credentials | curl --config - --silent --show-error --fail-with-body --max-time 60 "$@"; }

# member NAME: the first member of this name, a text, in the JSON on standard input. With jq: jq -r .NAME
member() { grep -o "\"$1\": *\"[^\"]*\"" | sed -n '1s/.*: *"\(.*\)"$/\1/p'; }

# submit FOLDER MAIN PARAMS: attach every file of a folder under its relative path; print the id of the run.
submit() {
    local folder=$1 main=$2 params=$3 file parts=()
    while IFS= read -r file; do
        parts+=(--form "workflow_attachment=@\"$folder/$file\";filename=\"$file\"")
    done < <(cd "$folder" && find . -type f -not -path '*/.*' -printf '%P\n' | sort)
    wes "$url/runs" \
        --form-string workflow_type=SMK \
        --form-string workflow_type_version=1.0 \
        --form-string "workflow_url=$main" \
        --form-string 'tags={"example": "run_workflows"}' \
        --form "workflow_params=<$params" \
        "${parts[@]}" | member run_id
}

# submit_file FILE PARAMS: a workflow of one file; one attachment needs no workflow_url.
submit_file() {
    wes "$url/runs" --form-string workflow_type=SMK --form-string workflow_type_version=1.0 \
        --form "workflow_params=<$2" --form "workflow_attachment=@\"$1\"" | member run_id
}

# watch RUN: wait until it is over; fail when it did not complete.
watch() {
    local state last="" end=$((SECONDS + timeout_s))
    while [ "$SECONDS" -lt "$end" ]; do
        state=$(wes "$url/runs/$1/status" | member state)
        [ "$state" = "$last" ] || echo "$1 $state"
        last=$state
        case $state in
        COMPLETE) return 0 ;;
        EXECUTOR_ERROR | SYSTEM_ERROR | CANCELED | PREEMPTED)
            wes "$url/runs/$1/logs/stderr" >&2
            return 1
            ;;
        esac
        sleep 1
    done
    echo "$1 is not over after $timeout_s seconds" >&2
    return 1
}

echo "speaking with $(wes "$url/service-info" | member name) at $url"

words=$(submit "$here/workflows/word-count" Snakefile "$here/inputs/word-count.json")
numbers=$(submit_file "$here/workflows/one-file.smk" "$here/inputs/one-file.json")
watch "$words"
watch "$numbers"

echo "words:"
wes --location "$url/runs/$words/outputs/results/summary.tsv"
echo "numbers:"
wes --location "$url/runs/$numbers/outputs/numbers.txt"

cancelled=$(submit_file "$here/workflows/one-file.smk" <(echo '{"pause_s": 600}'))
wes --request POST "$url/runs/$cancelled/cancel" >/dev/null
watch "$cancelled" 2>/dev/null || echo "$cancelled was cancelled"
