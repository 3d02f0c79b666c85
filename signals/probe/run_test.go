package probe

import (
	"context"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// cluster is a Cluster that tests write.
type cluster struct {
	ready   func() ([]Pod, error)
	serves  func(Pod) (bool, error)
	service netip.AddrPort
}

func (c *cluster) Ready(context.Context, Workload) ([]Pod, error) { return c.ready() }
func (c *cluster) Serves(_ context.Context, _ Workload, p Pod) (bool, error) {
	return c.serves(p)
}
func (c *cluster) Service(_ context.Context, _, name string, _ Pod, _ flow.Port) (netip.AddrPort, error) {
	if name != "web" {
		return netip.AddrPort{}, errors.New("there is no Service " + name)
	}
	return c.service, nil
}

var web = Workload{Kind: "Deployment", Namespace: "shop", Name: "web"}

// podAt is a pod that is served by a test's server.
func podAt(address string) Pod {
	at := netip.MustParseAddrPort(address)
	return Pod{Name: "web-1-a", UID: "u1", IP: at.Addr(), Ports: []Port{{Name: "http", Number: at.Port()}}}
}

func program(t *testing.T, text string) *flow.Program {
	t.Helper()
	f, err := flow.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p, faults := flow.Compile(f)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return p
}

// server answers for a pod.
func server(t *testing.T, h http.HandlerFunc) Pod {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return podAt(s.Listener.Addr().String())
}

func once(t *testing.T, pod Pod, text string) outcome {
	t.Helper()
	r := runner{cluster: &cluster{service: netip.AddrPortFrom(pod.IP, pod.Ports[0].Number)}, forbidden: flow.Forbidden}
	return r.run(t.Context(), web, program(t, text), pod)
}

// A flow is a sequence: what one step captures, the next one uses, and the first that fails ends it.
func TestRun(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s3cr3t-t0ken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	pod := server(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		switch {
		case r.Header.Get("Authorization") != "Bearer s3cr3t-t0ken" || r.UserAgent() != userAgent:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/cart" && r.Host == "shop.example":
			_, _ = fmt.Fprint(w, `{"id":"c-1234567890","items":2}`)
		case r.URL.Path == "/cart/c-1234567890/pay":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprint(w, `cart c-1234567890: s3cr3t-t0ken declined`)
		}
	})
	const steps = `{"secretFiles":{"token":%q},"steps":[
		{"name":"cart","http":{"path":"/cart","headers":{"Host":"shop.example","Authorization":"Bearer ${token}"}},"expect":{"cel":"json.items == 2"},"capture":{"cart":{"cel":"json.id"}}},
		{"name":"pay","http":{"path":"/cart/${cart}/pay","body":"x","headers":{"Authorization":"Bearer ${token}"}},"expect":{"status":["2xx"]}},
		{"name":"never","http":{}}]}`
	got := once(t, pod, fmt.Sprintf(steps, secret))
	if want := `step "pay": expected status 2xx, got status 500, body "cart ***: *** declined"`; got.failure != want || got.blind != "" {
		t.Errorf("got  %+v\nwant %s", got, want)
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls, want 2: a flow ends at its first failed step", calls.Load())
	}
	if got := once(t, pod, fmt.Sprintf(steps, secret+"-missing")); !strings.Contains(got.blind, "secretFiles.token") || got.failure != "" {
		t.Errorf("without its secret: %+v", got)
	}
}

func TestRunOutcomes(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	pod := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, other.URL+"/x", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		case "/torn":
			w.Header().Set("Content-Length", "100")
			_, _ = fmt.Fprint(w, "half")
		case "/large":
			_, _ = fmt.Fprint(w, strings.Repeat(" ", flow.MaxBody)+"{}")
		case "/host":
			_, _ = fmt.Fprint(w, r.Host)
		}
	})
	refuses := podAt("127.0.0.1:1")
	for _, c := range []struct {
		name, flow     string
		pod            Pod
		failure, blind string
	}{
		{name: "passes", flow: `{"steps":[{"http":{}},{"tcp":{}},{"http":{"port":"http","method":"HEAD"}}]}`},
		{name: "refused", flow: `{"steps":[{"http":{"path":"/a"}}]}`, pod: refuses, failure: `step "GET /a": expected an answer, got connection refused`},
		{name: "tcp refused", flow: `{"steps":[{"tcp":{}}]}`, pod: refuses, failure: `step "TCP connect": expected a connection, got connection refused`},
		{name: "too late", flow: `{"timeout":"150ms","steps":[{"http":{"path":"/slow"}}]}`, failure: "expected an answer, got none within 150ms"},
		{name: "torn", flow: `{"steps":[{"http":{"path":"/torn"}}]}`, failure: "the connection was closed before the answer was complete"},
		{name: "redirects are not followed", flow: `{"steps":[{"http":{"path":"/redirect"}}]}`, failure: "expected status 2xx, got status 302 to " + other.URL},
		{name: "large", flow: `{"steps":[{"http":{"path":"/large"},"expect":{"cel":"json == {}"}}]}`, failure: "larger than 256 KiB"},
		{name: "service", flow: `{"steps":[{"tcp":{}},{"service":"web","http":{"path":"/host"},"expect":{"body":"^web.shop$"}}]}`},
		{name: "no such service", flow: `{"steps":[{"tcp":{}},{"service":"db","tcp":{}}]}`, blind: "there is no Service db"},
		{name: "no such port", flow: `{"steps":[{"http":{"port":"grpc"}}]}`, blind: "pod web-1-a declares no port named grpc"},
		{name: "a host on this machine", flow: `{"hosts":["localhost"],"steps":[{"tcp":{}},{"http":{"url":"` + strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + `"}}]}`, blind: "localhost is at an address that no flow may go to"},
		{name: "a host that is away", flow: `{"hosts":["no-such-host.invalid"],"steps":[{"tcp":{}},{"http":{"url":"http://no-such-host.invalid/"}}]}`, blind: "no-such-host.invalid"},
		{name: "a pod on the link", flow: `{"steps":[{"http":{}}]}`, pod: podAt("169.254.169.254:80"), blind: "an address that no flow may go to"},
	} {
		p := c.pod
		if p.Name == "" {
			p = pod
		}
		got := once(t, p, c.flow)
		if (got.failure == "") != (c.failure == "") || !strings.Contains(got.failure, c.failure) || (got.blind == "") != (c.blind == "") || !strings.Contains(got.blind, c.blind) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if elsewhere.Load() != 0 {
		t.Errorf("somewhere else was asked %d times", elsewhere.Load())
	}
}

// A host that is listed is gone to, and judged by what it answers.
func TestRunGoesToListedHosts(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.URL.Path) }))
	defer other.Close()
	pod := server(t, func(http.ResponseWriter, *http.Request) {})
	r := runner{cluster: &cluster{}, forbidden: flow.Closed} // the test's host is on this machine
	url := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	got := r.run(t.Context(), web, program(t, `{"hosts":["localhost"],"steps":[{"tcp":{}},{"http":{"url":"`+url+`/${namespace}"},"expect":{"body":"^/shop$"}},{"name":"no","http":{"url":"`+url+`/x"},"expect":{"body":"^$"}}]}`), pod)
	if !strings.Contains(got.failure, `step "no": expected a body that matches "^$", got status 200, body "/x"`) {
		t.Errorf("%+v", got)
	}
}

func TestRunOverTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused certificates are what is tested
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pod := podAt(s.Listener.Addr().String())
	for tls, failure := range map[string]string{
		`{"caFile":"` + ca + `"}`:                              "",
		`{"caFile":"` + ca + `","serverName":"example.com"}`:   "",
		`{"caFile":"` + ca + `","serverName":"other.invalid"}`: "certificate is valid for",
		`{"insecureSkipVerify":true}`:                          "",
		`{}`:                                                   "certificate",
	} {
		if got := once(t, pod, `{"tls":`+tls+`,"steps":[{"http":{}}]}`); (got.failure == "") != (failure == "") || !strings.Contains(got.failure, failure) || got.blind != "" {
			t.Errorf("%s: %+v", tls, got)
		}
	}
	if got := once(t, pod, `{"tls":{"caFile":"/no/such/file"},"steps":[{"http":{}}]}`); !strings.Contains(got.blind, "tls.caFile") {
		t.Errorf("%+v", got)
	}
}

// grpcServer speaks as much of gRPC as a health check takes.
func grpcServer(t *testing.T, answer func(service string) (status byte, code string)) Pod {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		frame := make([]byte, 512)
		n, _ := r.Body.Read(frame)
		service := ""
		if n > framePrefix+2 {
			service = string(frame[framePrefix+2 : n])
		}
		status, code := answer(service)
		if r.URL.Path != healthCheck || r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" || r.Header.Get("Content-Type") != "application/grpc" {
			code = "12"
		}
		w.Header().Set("Content-Type", "application/grpc")
		if code != "0" {
			w.Header().Set("Grpc-Status", code)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		reply := make([]byte, framePrefix, 7)
		binary.BigEndian.PutUint32(reply[1:], 2)
		_, _ = w.Write(append(reply, 1<<3, status))
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return podAt(s.Listener.Addr().String())
}

func TestRunAsksForHealth(t *testing.T) {
	pod := grpcServer(t, func(service string) (byte, string) {
		switch service {
		case "":
			return 1, "0"
		case "shop.Cart":
			return 2, "0"
		}
		return 0, "5"
	})
	for service, failure := range map[string]string{
		"":          "",
		"shop.Cart": `step "gRPC health": expected health SERVING, got NOT_SERVING`,
		"shop.None": `got gRPC status NOT_FOUND: it knows no such service`,
	} {
		got := once(t, pod, `{"steps":[{"grpc":{"service":"`+service+`"}}]}`)
		if (got.failure == "") != (failure == "") || !strings.Contains(got.failure, failure) || got.blind != "" {
			t.Errorf("%s: %+v", service, got)
		}
	}
	plain := server(t, func(http.ResponseWriter, *http.Request) {})
	if got := once(t, plain, `{"timeout":"2s","steps":[{"grpc":{}}]}`); got.failure == "" {
		t.Error("a server that does not speak gRPC is healthy")
	}
}

// A server that answers too slowly, a byte at a time, is left when its time is over.
func TestRunEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + strings.Repeat("x", 1<<20)) {
					if _, err := conn.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
		}
	}()
	if got := once(t, podAt(l.Addr().String()), `{"timeout":"200ms","steps":[{"http":{}}]}`); !strings.Contains(got.failure, "none within 200ms") {
		t.Errorf("%+v", got)
	}
}

// Whatever a server answers to a question about its health, it is read or called unreadable.
func FuzzHealthStatus(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 2, 8, 1})
	f.Fuzz(func(t *testing.T, frame []byte) {
		got, err := healthStatus(frame)
		if (got == "") != (err != nil) {
			t.Fatalf("%q %v", got, err)
		}
	})
}
