package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// mutation is one request by which the daemon changes something, as the proxy saw it.
type mutation struct {
	What   string    // what it is for, in words; the same in every story
	At     time.Time // when it arrived
	Body   []byte
	Status int // what was answered; 0 while it was not forwarded
	Life   int // which start of the daemon it came from, counted from 1
}

func (m mutation) done() bool { return m.Status/100 == 2 }

// proxy stands between one daemon and all that it writes to: the API server, Grafana, the webhook and Alertmanager. It
// puts the daemon's mutations in a row, so that a test can stop the world before any of them, or after it was answered.
type proxy struct {
	t       *testing.T
	kube    *httptest.Server
	others  map[string]*httptest.Server // by the name of the receiver
	forward map[string]http.Handler

	// before is asked before a mutation is forwarded, and after once it was answered. While either runs no other mutation
	// is forwarded. If one returns false the daemon gets no answer. nil: all pass.
	before, after func(m *mutation) bool

	row  sync.Mutex // held while a mutation is under way
	mu   sync.Mutex // guards the rest
	life int        // which start of the daemon is let through
	open bool
	log  []*mutation
}

// newProxy listens for one daemon. receivers are the addresses of grafana, webhook and alertmanager.
func newProxy(t *testing.T, kube *rest.Config, receivers map[string]string) *proxy {
	t.Helper()
	p := &proxy{t: t, others: map[string]*httptest.Server{}, forward: map[string]http.Handler{}}
	tls := rest.AnonymousClientConfig(kube) // the daemon brings its own credentials
	transport, err := rest.TransportFor(tls)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(name, address string, transport http.RoundTripper) http.Handler {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		p.forward[name] = &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
			Transport:     transport,
			FlushInterval: -1, // watches are streams
			ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(name, w, r) })
	}
	p.kube = httptest.NewTLSServer(serve("kube", kube.Host, transport))
	for name, address := range receivers {
		p.others[name] = httptest.NewServer(serve(name, address, http.DefaultTransport))
	}
	t.Cleanup(func() {
		p.shut()
		for _, s := range append(slices.Collect(maps.Values(p.others)), p.kube) {
			s.CloseClientConnections()
			s.Close()
		}
	})
	return p
}

// kubeconfig is how the daemon reaches the API server through the proxy, with a token of its service account.
func (p *proxy) kubeconfig(token string) []byte {
	c := clientcmdapi.NewConfig()
	c.Clusters["proxy"] = &clientcmdapi.Cluster{
		Server:                   p.kube.URL,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.kube.Certificate().Raw}),
	}
	c.AuthInfos["daemon"] = &clientcmdapi.AuthInfo{Token: token}
	c.Contexts["proxy"] = &clientcmdapi.Context{Cluster: "proxy", AuthInfo: "daemon"}
	c.CurrentContext = "proxy"
	raw, err := clientcmd.Write(*c)
	if err != nil {
		p.t.Fatal(err)
	}
	return raw
}

// admit lets a newly started daemon through. What an earlier one still has under way gets no further.
func (p *proxy) admit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life++
	p.open = true
}

// shut lets nothing through any more. It is called before the daemon is killed, so that what it sends in between is lost.
func (p *proxy) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
}

func (p *proxy) admitted(life int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open && (life == 0 || p.life == life)
}

// serve forwards a request to the upstream of that name.
func (p *proxy) serve(name string, w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	life := p.life
	p.mu.Unlock()
	if !p.admitted(life) {
		panic(http.ErrAbortHandler)
	}
	if !mutates(r) {
		p.forward[name].ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	m := &mutation{At: time.Now(), Body: body, Life: life}
	p.row.Lock()
	defer p.row.Unlock()
	if !p.admitted(life) {
		panic(http.ErrAbortHandler)
	}
	m.What = p.name(name, r, body)
	p.mu.Lock()
	p.log = append(p.log, m)
	p.mu.Unlock()
	if p.before != nil && !p.before(m) {
		panic(http.ErrAbortHandler)
	}
	// What was sent arrives, even if its sender is dead by now.
	r = r.WithContext(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	p.forward[name].ServeHTTP(answer, r)
	p.mu.Lock()
	m.Status = answer.Code
	p.mu.Unlock()
	if p.after != nil && !p.after(m) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// mutates reports whether a request changes anything that the daemon was made to change.
func mutates(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return !strings.Contains(r.URL.Path, "/leases") && !strings.Contains(r.URL.Path, "/selfsubjectaccessreviews")
	}
	return false
}

// name says what a mutation is for.
func (p *proxy) name(upstream string, r *http.Request, body []byte) string {
	has := func(part string) bool { return bytes.Contains(body, []byte(part)) }
	path := r.URL.Path
	switch {
	case upstream == "webhook":
		var story struct{ Stage string }
		_ = json.Unmarshal(body, &story)
		return "webhook: " + story.Stage
	case upstream == "alertmanager" && has(": rolling back"):
		return "alert: rolling back"
	case upstream == "alertmanager":
		return "alert: at the end"
	case upstream == "grafana" && r.Method == http.MethodPost:
		return "annotation: created"
	case upstream == "grafana" && r.Method == http.MethodDelete:
		return "annotation: deleted"
	case upstream == "grafana" && has("outcome:baking"):
		return "annotation: updated"
	case upstream == "grafana":
		return "annotation: closed"
	case strings.HasSuffix(path, "/events"):
		for _, stage := range []string{"started", "deciding", "ended"} {
			if has("." + stage) {
				return "event: " + stage
			}
		}
	case strings.HasSuffix(path, "/bakes"):
		return "record: created" + p.which(body)
	case strings.HasSuffix(path, "/status") && strings.Contains(path, "/bakes/"):
		return p.nameRecord(body)
	case strings.Contains(path, "/deployments/") && has(`"path":"/spec/template"`) && has(`"op":"replace"`):
		return "workload: template"
	case strings.Contains(path, "/deployments/") && has("/metadata/managedFields"):
		return "workload: ownership"
	}
	return fmt.Sprintf("%s: %s %s", upstream, r.Method, path)
}

// which tells the bake of a later rollout apart from that of the first.
func (p *proxy) which(body []byte) string {
	var b v1alpha1.Bake
	if err := json.Unmarshal(body, &b); err == nil && b.Spec.To.Number > 2 {
		return fmt.Sprintf(" of rev %d", b.Spec.To.Number)
	}
	return ""
}

// nameRecord says what a write to a bake's record is for: its new state, or the receipts noted in one.
func (p *proxy) nameRecord(body []byte) string {
	var b v1alpha1.Bake
	if err := json.Unmarshal(body, &b); err != nil {
		return "record: unreadable"
	}
	st := b.Status
	state := string(st.Outcome) + string(st.Phase)
	switch {
	case st.Outcome != "" && st.Alert != nil && st.Alert.ResolvedAt != nil:
		state += ", alert resolved"
	case st.Phase == v1alpha1.PhaseRollingBack && st.Rollback != nil && st.Rollback.PatchedAt != nil:
		state += ", patched"
	case st.Phase == v1alpha1.PhaseBaking && st.CompletedAt != nil:
		state += ", complete"
	}
	for _, m := range slices.Backward(p.mutations()) {
		if m.done() && m.What == "record: "+state+p.which(body) {
			return "receipts: while " + state + p.which(body)
		}
	}
	return "record: " + state + p.which(body)
}

// mutations are those seen so far, in order.
func (p *proxy) mutations() []mutation {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []mutation
	for _, m := range p.log {
		out = append(out, *m)
	}
	return out
}

// find are the mutations so far of that name that were carried out.
func (p *proxy) find(what string) []mutation {
	return slices.DeleteFunc(p.mutations(), func(m mutation) bool { return m.What != what || !m.done() })
}
