package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// place is where a step goes.
type place struct {
	at   netip.AddrPort // the pod, or a Service that leads to it; not valid: a host elsewhere
	name string         // what certificates and the Host header call it; empty: by its address
	base string         // scheme and host of a URL

	forbidden func(netip.Addr) bool // addresses that the name may not stand for
}

// own reports whether it is the workload's own.
func (p place) own() bool { return p.at.IsValid() }

// place finds where a step goes. An error says why it goes nowhere.
func (v *visit) place(ctx context.Context, s *flow.Stage) (place, error) {
	var port flow.Port
	switch {
	case s.HTTP != nil && s.HTTP.URL != "":
		u, err := url.Parse(s.Base())
		if err != nil {
			return place{}, fmt.Errorf("read the URL: %w", err)
		}
		return place{name: u.Hostname(), base: s.Base(), forbidden: v.forbidden}, nil
	case s.HTTP != nil:
		port = s.HTTP.Port
	case s.TCP != nil:
		port = s.TCP.Port
	case s.GRPC != nil:
		port = s.GRPC.Port
	}
	var to place
	var err error
	if s.Service != "" {
		to.name = s.Service + "." + v.of.Namespace
		to.at, err = v.cluster.Service(ctx, v.of.Namespace, s.Service, v.pod, port)
	} else {
		to.at, err = v.pod.address(port)
	}
	if err != nil {
		return place{}, err
	}
	if flow.Closed(to.at.Addr()) {
		return place{}, fmt.Errorf("%s is an address that no flow may go to", to.at.Addr())
	}
	return to, nil
}

// dial opens a connection to the place and to nowhere else.
func (p place) dial(ctx context.Context) (net.Conn, error) {
	if !p.own() {
		return nil, unfit{"only HTTP goes to other hosts"}
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.at.String())
}

// dialHTTP opens the connection of a request. A host's name may mean any address: it is looked at when it is known.
func (p place) dialHTTP(ctx context.Context, network, address string) (net.Conn, error) {
	if p.own() {
		return p.dial(ctx)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || !strings.EqualFold(host, p.name) {
		return nil, unfit{"the step goes to " + p.name + " only"}
	}
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || p.forbidden(to.Addr()) {
			return unfit{p.name + " is at an address that no flow may go to"}
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// certificates are what a flow's tls names, read.
type certificates struct {
	roots  *x509.CertPool // nil: the system's
	client []tls.Certificate
	flow.TLS
}

func readCertificates(t *flow.TLS) (*certificates, error) {
	if t == nil {
		return nil, nil
	}
	c := &certificates{TLS: *t}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.caFile: read the authorities: %w", err)
		}
		c.roots = x509.NewCertPool()
		if !c.roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.caFile: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.certFile: read the client certificate: %w", err)
		}
		c.client = []tls.Certificate{pair}
	}
	return c, nil
}

// config is how certificates are checked at a place. The client certificate is for the workload's own.
func (c *certificates) config(to place) *tls.Config {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: to.name}
	if out.ServerName == "" {
		out.ServerName = to.at.Addr().String()
	}
	if c == nil {
		return out
	}
	out.RootCAs = c.roots
	if to.own() {
		if c.ServerName != "" {
			out.ServerName = c.ServerName
		}
		out.Certificates = c.client
		out.InsecureSkipVerify = c.InsecureSkipVerify //nolint:gosec // the flow says so
	}
	return out
}
