#!/usr/bin/env bash
# Builds playground, kubectl and demo into playground/.bin and provides Prometheus and Alertmanager. The first build
# compiles all of Kubernetes; later ones find it in Go's build cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly version=v1.37.2
readonly minor=${version#v1.}
readonly base=k8s.io/component-base/version
readonly ldflags="-s -w -X $base.gitVersion=$version -X $base.gitMajor=1 -X $base.gitMinor=${minor%%.*} -X $base.gitTreeState=clean"
readonly packages=(./cmd/playground ./cmd/kubectl ./cmd/demo)

# Without C, whether or not there is a compiler for it: the build cache of one is of no use to the other.
export CGO_ENABLED=0

command -v go >/dev/null || { echo "build: go is not on PATH: install Go 1.26 or newer from https://go.dev/dl/" >&2; exit 1; }

elapsed() { printf '%dm%02ds' $((SECONDS / 60)) $((SECONDS % 60)); }

log=$(mktemp) && build_pid=
cleanup() {
  [[ -z $build_pid ]] || kill "$build_pid" 2>/dev/null || true
  rm -f "$log" "$log.deps"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# watch MESSAGE: reports every 15 s until the background command ends; MESSAGE is a function that prints one line.
watch() {
  local next=15
  while kill -0 "$build_pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS >= next)); then
      echo "build: $("$1")"
      next=$((SECONDS + 15))
    fi
  done
  local status=0
  wait "$build_pid" || status=$?
  build_pid=
  if ((status != 0)); then
    echo "build: failed after $(elapsed):" >&2
    grep -v -E '^(go: downloading |[A-Za-z0-9._~/-]+$)' "$log" | tail -n 40 >&2 || true
    exit 1
  fi
}

downloading() { echo "downloading modules, $(grep -c '^go: downloading' "$log" || true) so far, $(elapsed); last: $(tail -n 1 "$log" | sed 's/^go: downloading //')"; }
compiling() { echo "compiled $(grep -c -E '^[A-Za-z0-9._~/-]+$' "$log" || true) of at most $total packages, $(elapsed); last: $(tail -n 1 "$log")"; }

echo "build: playground (etcd, kube-apiserver, kube-controller-manager, kube-scheduler $version), kubectl and demo"
echo "build: the first time takes about 15 to 20 minutes on 2 cores and 4 GB of Go's build cache; later times take seconds"
go list -deps -f '{{.ImportPath}}' "${packages[@]}" >"$log.deps" 2>"$log" &
build_pid=$!
watch downloading
total=$(wc -l <"$log.deps")
rm -f "$log.deps"
: >"$log"
mkdir -p .bin
go build -v -ldflags "$ldflags" -o .bin/ "${packages[@]}" >"$log" 2>&1 &
build_pid=$!
watch compiling
echo "build: compiled $(grep -c -E '^[A-Za-z0-9._~/-]+$' "$log" || true) packages (the rest came from Go's build cache) in $(elapsed)"
./tools.sh
echo "build: done in $(elapsed): playground/.bin/{playground,kubectl,demo}"
