// Package ports decides which loopback ports a playground uses and says plainly when one is taken.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Host is the only address the playground's own endpoints listen on.
const Host = "127.0.0.1"

// The endpoints that have a port. Their numbers are fixed by default, so that addresses stay the same between starts.
const (
	APIServer    = "apiserver"
	Prometheus   = "prometheus"
	Alertmanager = "alertmanager"
	Grafana      = "grafana"
	Webhook      = "webhook"
	Datadog      = "datadog"
	Loki         = "loki"
	Control      = "control"
)

type endpoint struct {
	name, what string
	number     int
}

var endpoints = []endpoint{
	{APIServer, "the Kubernetes API server", 16443},
	{Prometheus, "Prometheus", 19090},
	{Alertmanager, "Alertmanager", 19093},
	{Grafana, "the Grafana stand-in", 13000},
	{Webhook, "the webhook stand-in", 18080},
	{Datadog, "the Datadog stand-in", 18126},
	{Loki, "the Loki stand-in", 13100},
	{Control, "the playground's control endpoint", 16480},
}

// Set holds the chosen port of each endpoint by name.
type Set map[string]int

// Resolve reads a --ports value: "default", "free" (every port a free one), or a list such as
// "apiserver=17443,prometheus=0", where 0 means a free one and what is not named keeps its default.
func Resolve(spec string) (Set, error) {
	set := Set{}
	for _, e := range endpoints {
		set[e.name] = e.number
	}
	switch spec = strings.TrimSpace(spec); spec {
	case "", "default":
		return set, nil
	case "free":
		for name := range set {
			set[name] = 0
		}
	default:
		if err := set.override(spec); err != nil {
			return nil, err
		}
	}
	for name, number := range set {
		if number == 0 {
			free, err := Free()
			if err != nil {
				return nil, err
			}
			set[name] = free
		}
	}
	return set, nil
}

func (s Set) override(spec string) error {
	for _, part := range strings.Split(spec, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		number, err := strconv.Atoi(value)
		if _, known := s[name]; !ok || !known || err != nil || number < 0 || number > 65535 {
			names := make([]string, 0, len(endpoints))
			for _, e := range endpoints {
				names = append(names, e.name)
			}
			return fmt.Errorf("--ports %q: %q is not NAME=PORT with a name among %s and a port from 0 (any free one) to 65535",
				spec, part, strings.Join(names, ", "))
		}
		s[name] = number
	}
	return nil
}

// Addr is the address an endpoint listens on.
func (s Set) Addr(name string) string { return net.JoinHostPort(Host, strconv.Itoa(s[name])) }

// Check reports the first of the named endpoints whose port cannot be listened on, and how to choose another.
func (s Set) Check(names ...string) error {
	for _, e := range endpoints {
		if !slices.Contains(names, e.name) {
			continue
		}
		for _, other := range endpoints {
			if other.name != e.name && s[other.name] == s[e.name] && slices.Contains(names, other.name) {
				return fmt.Errorf("port %d is given to both %s and %s: choose another with --ports", s[e.name], e.what, other.what)
			}
		}
		l, err := net.Listen("tcp", s.Addr(e.name))
		if err != nil {
			return fmt.Errorf("port %d, for %s, cannot be used (%v): choose another with --ports %s=%d, or let all be free ones with --ports free; "+
				"`ss -ltnp 'sport = :%d'` shows who has it", s[e.name], e.what, err, e.name, s[e.name]%60000+1000, s[e.name])
		}
		_ = l.Close()
	}
	return nil
}

var (
	given   = map[int]bool{}
	givenMu sync.Mutex
)

// Free finds a port nobody listens on. It looks below the range the kernel takes for outgoing connections, because a
// port from there could be borrowed by one while its owner is being restarted, and never gives one out twice.
func Free() (int, error) {
	givenMu.Lock()
	defer givenMu.Unlock()
	for range 500 {
		port := 20000 + rand.IntN(12000)
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(Host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close()
		given[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no free port on %s between 20000 and 32000: stop what listens there", Host)
}
