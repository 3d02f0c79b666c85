#!/usr/bin/env bash
# Provides Prometheus and Alertmanager in playground/.tools/bin: those found on PATH, or those of Debian's packages,
# unpacked here without being installed, so that no service is started and nothing outside this folder changes.
# PLAYGROUND_PROMETHEUS=build builds Prometheus from its Go module instead, with Kubernetes discovery.
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

# relocate makes a program look for its shared files in its working directory instead of below /usr/share, where an
# unpacked package has none: Debian's Alertmanager reads its templates there, and has no option to say otherwise. The
# new path must be as long as the old one, which slashes see to.
relocate() { # ROOT PROGRAM
  local name from to
  for name in prometheus alertmanager; do
    [[ -d $1/usr/share/prometheus/$name ]] || continue
    from=/usr/share/prometheus/$name
    printf -v to '%*s' $((${#from} - 1)) ''
    to=.${to// //}
    LC_ALL=C sed -i "s#$from#$to#g" "$1/usr/bin/$2"
  done
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
  relocate "$root" "$program"
  usable "$root/usr/bin/$program" || give_up "$root/usr/bin/$program does not run"
  if [[ -d $root/usr/share/prometheus/$name ]]; then
    rm -f ".tools/bin/$name"
    printf '#!/bin/sh\ncd "$(dirname "$0")/../%s/usr/share/prometheus/%s" && exec ../../../bin/%s "$@"\n' "$package" "$name" "$program" >".tools/bin/$name"
    chmod +x ".tools/bin/$name"
  else
    link "../$package/usr/bin/$program" "$name"
  fi
  if [[ -n $helper ]]; then link "../$package/usr/bin/$helper" "$helper"; fi
  echo "tools: $name is $("$root/usr/bin/$program" --version 2>&1 | head -n 1)"
}

# The module's own Prometheus, which unlike Debian's can ask the Kubernetes API for its targets. Only that discovery is
# built in; the others would double the time.
from_module() {
  local module=github.com/prometheus/prometheus/cmd/prometheus@v0.316.0
  echo "tools: building $module (4 minutes on 2 cores the first time)"
  GOBIN=$PWD/.tools/built GOFLAGS= go install -ldflags '-s -w' -tags remove_all_sd,enable_kubernetes_sd,enable_dns_sd "$module"
  link ../built/prometheus prometheus
  echo "tools: prometheus is $module"
}

if [[ ${PLAYGROUND_PROMETHEUS:-} == build ]]; then
  [[ -x .tools/built/prometheus ]] || from_module
  link ../built/prometheus prometheus
elif ! { [[ -x .tools/bin/prometheus ]] && usable .tools/bin/prometheus; }; then
  from_path prometheus prometheus || from_debian prometheus prometheus prometheus promtool
fi
if ! { [[ -x .tools/bin/alertmanager ]] && usable .tools/bin/alertmanager; }; then
  from_path alertmanager alertmanager prometheus-alertmanager || from_debian alertmanager prometheus-alertmanager prometheus-alertmanager amtool
fi
