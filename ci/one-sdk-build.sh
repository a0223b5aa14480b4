#!/usr/bin/env bash
# Running and testing share one build of every dependency: the AWS SDK takes minutes. Fails when a crate has features in
# one of the two that it lacks in the other (a dev-dependency that turns something on, for one), and names it.
set -euo pipefail
cd "$(dirname "$0")/.."

crates() { cargo tree --locked --workspace --prefix none --format '{p} {f}' --edges "$1" | sed 's/ (\*)$//' | sort -u; }

differing=$(comm -23 <(crates normal,build) <(crates normal,build,dev))
if [ -n "$differing" ]; then
  printf 'built twice, since tests build them with other features:\n%s\n' "$differing" >&2
  printf 'give the dependency that differs the same features in both (`cargo tree -e features -i CRATE`)\n' >&2
  exit 1
fi
