#!/usr/bin/env bash
# Runs the daemon against the playground that is up, with the rights of its own service account, until Ctrl-C. Times are
# short, so that a story takes a minute. The policy is in the ConfigMap: edit it while this runs; each start writes it anew.
#   usage: playground/guard.sh DAEMON
set -euo pipefail
cd "$(dirname "$0")/.."
daemon=${1:?usage: playground/guard.sh DAEMON}
run=playground/.run
kubectl=playground/.bin/kubectl
[[ -f $run/addresses.json ]] || { echo "guard: no playground is up; make playground starts one" >&2; exit 1; }
address() { sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" "$run/addresses.json"; }
export KUBECONFIG=$run/kubeconfig

"$kubectl" apply -k deploy
# The pods of this Deployment would only be played; the daemon below is the real one.
"$kubectl" -n bakewatch scale deployment/bakewatch --replicas=0
"$kubectl" -n bakewatch create configmap bakewatch --dry-run=client -o yaml --from-literal=bakewatch.yaml="\
mode: guard
sources: {prometheus: {url: $(address prometheus)}}
bake: {window: 30s, interval: 2s, verify: 10s}
signals:
  http-errors:
    prometheus:
      errors: 'http_requests_total{namespace=\"\$namespace\",code=~\"5..\"}'
      requests: 'http_requests_total{namespace=\"\$namespace\"}'
      by: pod
    threshold: {max: 5%, increase: 2x, floor: 0.5%, minRequests: 50, ticks: 2}
announce:
  grafana: {url: $(address grafana), dashboards: [{tag: services}]}
  alertmanager: {url: $(address alertmanager)}
  webhook: {url: $(address webhook)/bakewatch}
" | "$kubectl" apply -f -

umask 077
"$kubectl" config view --raw --minify | sed '/^users:/,$d' >"$run/bakewatch.kubeconfig"
cat >>"$run/bakewatch.kubeconfig" <<EOF
users:
- name: $("$kubectl" config view --minify -o jsonpath='{.contexts[0].context.user}')
  user:
    token: $("$kubectl" -n bakewatch create token bakewatch --duration 24h)
EOF
echo
echo "guarding the playground; try in another terminal:"
echo "  export KUBECONFIG=$PWD/$run/kubeconfig"
echo "  $PWD/$kubectl get bakes -A --watch"
echo
exec "$daemon" run --kubeconfig "$run/bakewatch.kubeconfig" --listen 127.0.0.1:18081 --log-format console
