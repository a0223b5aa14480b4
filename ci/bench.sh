#!/usr/bin/env bash
# Prints the numbers that the README shows: criterion's benchmarks and the memory of a whole run. Whole runs are
# in the profile of `cargo run`: it is what people wait for, and optimising the SDK costs more than all runs of a day.
set -euo pipefail
cd "$(dirname "$0")/.."

# Optimised, and without the SDK. With MOTO_URL, the URL of a running `moto_server`, it measures that one beside it.
cargo bench -p acrossk8s-mocks --bench aws_requests -- --noplot
cargo bench -p acrossk8s --bench whole_run --profile dev -- --noplot
cargo build -p acrossk8s
binary=target/debug/acrossk8s

if command -v /usr/bin/time >/dev/null; then
  runs=$(mktemp -d)
  trap 'rm -rf "$runs"' EXIT
  /usr/bin/time -f 'whole run: %e s wall, %U s user, %M KiB peak memory' "$binary" --runs-dir "$runs" run >/dev/null
else
  echo "peak memory is not measured: /usr/bin/time is not installed (Debian package: time)" >&2
fi
