// Package integration holds tests of the real bakewatch binary against a real control plane, Prometheus and Alertmanager,
// all started by the playground. `make test` runs them.
package integration
