#!/usr/bin/env bash
# Provides the C compiler that Go's race detector needs: the one that is there, or Debian's gcc.
set -euo pipefail

cc=$(go env CC)
compiles() { echo 'int main(void) { return 0; }' | ${cc} -x c -include stdlib.h -o /dev/null - 2>/dev/null; }

if compiles; then exit 0; fi
give_up() {
  echo "cc: $1; go test -race needs a C compiler ($cc): install gcc and libc6-dev, or run make test RACE=" >&2
  exit 1
}
command -v apt-get >/dev/null || give_up "there is none, and no apt-get to fetch one"
((EUID == 0)) || give_up "there is none, and only root may install one"
install() { DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -qq --no-install-recommends gcc libc6-dev </dev/null >/dev/null; }
echo "cc: installing gcc and libc6-dev with apt-get, for go test -race (100 MB, once)"
install || { timeout 300 apt-get update -qq && install; } || give_up "apt-get could not install it"
compiles || give_up "it was installed, and does not compile"
