package agent

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// serveKubelet answers on each node's address what the API server asks a kubelet for: the logs of a container. The
// certificate is self-signed, which the API server accepts as it is given no authority to check against.
func (a *Agent) serveKubelet(ctx context.Context) error {
	cert, err := selfSigned()
	if err != nil {
		return fmt.Errorf("make the nodes' certificate: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", a.containerLogs)
	for _, n := range a.nodes {
		addr := net.JoinHostPort(n.ip, strconv.Itoa(KubeletPort))
		l, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		if err != nil {
			return fmt.Errorf("listen for %s: %w (another playground may use these addresses: choose others with --pod-prefix)", n.name, err)
		}
		s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
			BaseContext: func(net.Listener) context.Context { return ctx }}
		a.wg.Go(func() { _ = s.Serve(l) })
		context.AfterFunc(ctx, func() { _ = s.Close() })
	}
	return nil
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "playground-node"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func (a *Agent) find(namespace, name string) *pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.pods {
		if p.obj.Namespace == namespace && p.obj.Name == name {
			return p
		}
	}
	return nil
}

func (a *Agent) containerLogs(w http.ResponseWriter, r *http.Request) {
	p := a.find(r.PathValue("namespace"), r.PathValue("pod"))
	if p == nil {
		http.Error(w, "no such pod on this node", http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	p.mu.Lock()
	logs := p.logs
	if q.Get("previous") == "true" {
		logs = p.previous
	}
	p.mu.Unlock()
	if r.PathValue("container") != p.obj.Spec.Containers[0].Name {
		return // only the first container has anything to say
	}
	if logs == nil {
		http.Error(w, fmt.Sprintf("previous terminated container %q in pod %q not found", r.PathValue("container"), p.obj.Name), http.StatusBadRequest)
		return
	}
	writeLogs(r.Context(), w, logs, q, p.ctx.Done())
}

// writeLogs prints lines as the query asks, and with follow goes on until the caller leaves or the pod ends.
func writeLogs(ctx context.Context, w http.ResponseWriter, logs *logBuffer, q url.Values, ended <-chan struct{}) {
	out := &limited{w: bufio.NewWriter(w), left: -1}
	if n, err := strconv.ParseInt(q.Get("limitBytes"), 10, 64); err == nil {
		out.left = n
	}
	from := time.Time{}
	if s, err := strconv.ParseInt(q.Get("sinceSeconds"), 10, 64); err == nil {
		from = time.Now().Add(-time.Duration(s) * time.Second)
	} else if t, err := time.Parse(time.RFC3339, q.Get("sinceTime")); err == nil {
		from = t
	}
	lines, seen, more := logs.since(0)
	if n, err := strconv.Atoi(q.Get("tailLines")); err == nil && n >= 0 && n < len(lines) {
		lines = lines[len(lines)-n:]
	}
	for {
		for _, line := range lines {
			if line.at.Before(from) {
				continue
			}
			text := line.text + "\n"
			if q.Get("timestamps") == "true" {
				text = line.at.UTC().Format(time.RFC3339Nano) + " " + text
			}
			if out.print(text) != nil {
				return
			}
		}
		if out.w.Flush() != nil || q.Get("follow") != "true" {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-more:
			lines, seen, more = logs.since(seen)
		}
	}
}

// limited stops after a number of bytes; -1 for no limit.
type limited struct {
	w    *bufio.Writer
	left int64
}

func (l *limited) print(text string) error {
	if l.left >= 0 {
		text = text[:min(int64(len(text)), l.left)]
		l.left -= int64(len(text))
	}
	if _, err := l.w.WriteString(text); err != nil {
		return err
	}
	if l.left == 0 {
		_ = l.w.Flush()
		return io.EOF
	}
	return nil
}
