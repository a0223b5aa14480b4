#!/usr/bin/env bash
# A whole run and its tests with the real CoreDNS, nginx and curl in the pods. Installs what is missing: nginx and curl from
# Debian's packages, CoreDNS from its Go module. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

# That of the EKS add-on which is emulated (mocks/src/workloads/coredns/mod.rs).
coredns_version=v1.13.2
bin="$PWD/target/real-programs"

fail() { printf 'real programs: %s\n' "$*" >&2; exit 1; }

install_package() {
  [ "$(id -u)" = 0 ] || fail "$1 is missing and installing it needs root: apt-get install $1"
  command -v apt-get >/dev/null || fail "$1 is missing and there is no apt-get: install it by hand"
  # Its service is not started: only pods run it. A policy that is there already is left alone.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=1
  fi
  local code=0
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$1"; } >&2 || code=$?
  [ -z "$made" ] || rm -f "$policy"
  [ "$code" = 0 ] || fail "$1 could not be installed (apt-get ended with code $code)"
}

PATH="$bin:$PATH:/usr/sbin"
unshare --net true 2>/dev/null || fail "no network namespaces can be made here: run as root, on Linux"
command -v nginx >/dev/null || install_package nginx-light
command -v curl >/dev/null || install_package curl
if [ "$("$bin/coredns" -version 2>/dev/null | head -n 1)" != "CoreDNS-${coredns_version#v}" ]; then
  command -v go >/dev/null || fail "CoreDNS is built from its Go module and there is no go: install Go 1.25 or later (go.dev/dl)"
  echo "building CoreDNS $coredns_version, which takes minutes"
  GOBIN="$bin" GOFLAGS="-p=2 -buildvcs=false" go install "github.com/coredns/coredns@$coredns_version" ||
    fail "CoreDNS $coredns_version could not be built"
fi

export PATH ACROSSK8S_KERNEL_TESTS=1 ACROSSK8S_REAL_PROGRAMS=1
cargo run --locked -- run --network kernel --real-binaries
cargo test --locked -p acrossk8s-mocks --lib workloads::real
cargo test --locked -p acrossk8s --test real_programs
