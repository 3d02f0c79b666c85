#!/usr/bin/env bash
# Provides Prometheus and Alertmanager in playground/.tools/bin: those found on PATH, or those of Debian's packages,
# unpacked here without being installed, so that no service is started and nothing outside this folder changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p .tools/bin .tools/deb

usable() { "$1" --version >/dev/null 2>&1; }

link() { ln -sfn "$1" ".tools/bin/$2"; }

from_path() { # NAME CANDIDATE...
  local name=$1 candidate path
  shift
  for candidate in "$@"; do
    if path=$(command -v "$candidate") && usable "$path"; then
      link "$path" "$name"
      echo "tools: $name is $path"
      return 0
    fi
  done
  return 1
}

give_up() {
  echo "tools: $1" >&2
  echo "tools: install prometheus and alertmanager so that both are on PATH (Debian or Ubuntu: apt-get install prometheus prometheus-alertmanager;" >&2
  echo "tools: others: https://prometheus.io/download/), then run this again." >&2
  exit 1
}

from_debian() { # NAME PACKAGE PROGRAM [HELPER]
  local name=$1 package=$2 program=$3 helper=${4:-} root
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "$name is not on PATH, and this is no Debian to fetch it from"
  if ! apt-cache show "$package" >/dev/null 2>&1; then
    echo "tools: fetching the list of packages (apt-get update)"
    timeout 300 apt-get update -qq || give_up "apt-get update failed (it needs root and the network)"
  fi
  echo "tools: downloading Debian's package $package ($(apt-cache show "$package" | awk '/^Size:/ {printf "%.0f MB", $2 / 1e6; exit}'))"
  (cd .tools/deb && rm -f "$package"_*.deb && timeout 300 apt-get download -qq -o APT::Sandbox::User=root "$package") || give_up "could not download $package"
  root=$PWD/.tools/$package
  rm -rf "$root"
  dpkg -x .tools/deb/"$package"_*.deb "$root"
  rm -f .tools/deb/"$package"_*.deb
  if ldd "$root/usr/bin/$program" 2>/dev/null | grep 'not found'; then
    give_up "$package needs the libraries above"
  fi
  usable "$root/usr/bin/$program" || give_up "$root/usr/bin/$program does not run"
  link "../$package/usr/bin/$program" "$name"
  if [[ -n $helper ]]; then link "../$package/usr/bin/$helper" "$helper"; fi
  echo "tools: $name is $("$root/usr/bin/$program" --version 2>&1 | head -n 1)"
}

if ! { [[ -x .tools/bin/prometheus ]] && usable .tools/bin/prometheus; }; then
  from_path prometheus prometheus || from_debian prometheus prometheus prometheus promtool
fi
if ! { [[ -x .tools/bin/alertmanager ]] && usable .tools/bin/alertmanager; }; then
  from_path alertmanager alertmanager prometheus-alertmanager || from_debian alertmanager prometheus-alertmanager prometheus-alertmanager amtool
fi
