// Package standins pretends to be the services that cannot run in a playground, and only those.
//
// Grafana is a large program with a database and a user interface of its own, not offered as a Go module or a Debian
// package; of it, annotations are all that is needed, so their HTTP API is played here as Grafana documents it. A chat
// or paging service lives on the internet; a plain webhook receiver takes its place. Both keep the last of what they
// were sent and show it at GET /_sent, so that a person or a test can look. Datadog is a service on the internet, too: of it the
// query API is played, from the samples of the Prometheus that runs. Loki is a large program with a licence of its own: its query API is
// played from the lines that the node agent's pods write. Prometheus and Alertmanager are real.
package standins
