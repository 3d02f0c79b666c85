package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
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
	t          *testing.T
	kubeconfig string   // by which the daemon reaches the API server through the proxy, with the rights of deploy/
	through    *cluster // the cluster with the proxy's addresses, for the policy
	upstreams  map[string]http.Handler

	// row is held while a mutation is under way; it guards pass, which is asked about each of them before it is forwarded
	// and after it was answered. If it returns false the daemon gets no answer.
	row  sync.Mutex
	pass func(when moment, m mutation) bool

	over chan struct{} // closed when the test is
	mu   sync.Mutex    // guards what follows
	life int           // which start of the daemon is let through
	open bool
	log  []*mutation
	held []*holding
}

// moment is a point in the way of a mutation: it is about to be forwarded, or was answered and nobody knows yet.
type moment string

const (
	before moment = "before"
	after  moment = "after"
)

// holding has one mutation wait at a moment: arrived is closed when it is there, and it goes on once release is closed.
type holding struct {
	when             moment
	what             string
	arrived, release chan struct{}
}

// hold has the next mutation of that name wait.
func (p *proxy) hold(when moment, what string) *holding {
	h := &holding{when: when, what: what, arrived: make(chan struct{}), release: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, h)
	return h
}

// passes has a mutation wait as long as it is held, and reports whether it may go on then.
func (p *proxy) passes(when moment, m *mutation) bool {
	p.wait(when, m.What)
	return p.pass == nil || p.pass(when, *m)
}

// wait lets a mutation wait as long as it is held.
func (p *proxy) wait(when moment, what string) {
	p.mu.Lock()
	i := slices.IndexFunc(p.held, func(h *holding) bool { return h.when == when && h.what == what })
	if i < 0 {
		p.mu.Unlock()
		return
	}
	h := p.held[i]
	p.held = slices.Delete(p.held, i, i+1)
	p.mu.Unlock()
	close(h.arrived)
	select {
	case <-h.release:
	case <-p.over:
	}
}

// newProxy listens for one daemon.
func newProxy(t *testing.T, c *cluster) *proxy {
	t.Helper()
	through := *c
	p := &proxy{t: t, through: &through, upstreams: map[string]http.Handler{}, over: make(chan struct{})}
	account, err := clientcmd.BuildConfigFromFlags("", c.guardKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	tls, err := rest.TransportFor(rest.AnonymousClientConfig(account)) // the daemon brings its own credentials
	if err != nil {
		t.Fatal(err)
	}
	front := p.listen("kube", account.Host, tls, httptest.NewTLSServer)
	config := clientcmdapi.NewConfig()
	config.Clusters["proxy"] = &clientcmdapi.Cluster{
		Server:                   front.URL,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}),
	}
	config.AuthInfos["account"] = &clientcmdapi.AuthInfo{Token: account.BearerToken}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "proxy", AuthInfo: "account"}
	config.CurrentContext = "it"
	p.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, p.kubeconfig); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]*string{"grafana": &through.Grafana, "webhook": &through.Webhook, "alertmanager": &through.Alertmanager} {
		*address = p.listen(name, *address, http.DefaultTransport, httptest.NewServer).URL
	}
	t.Cleanup(func() { close(p.over) })
	return p
}

// listen serves one upstream.
func (p *proxy) listen(name, address string, transport http.RoundTripper, server func(http.Handler) *httptest.Server) *httptest.Server {
	u, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.upstreams[name] = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport:     transport,
		FlushInterval: -1, // watches are streams
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(name, w, r) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a daemon that is killed leaves broken connections
	p.t.Cleanup(func() {
		p.shut()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// hook has the mutations that come from now on asked about. nil: all pass.
func (p *proxy) hook(pass func(when moment, m mutation) bool) {
	p.row.Lock()
	defer p.row.Unlock()
	p.pass = pass
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

// current is which start of the daemon is let through; 0 while none is.
func (p *proxy) current() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return 0
	}
	return p.life
}

// serve forwards a request to the upstream of that name.
func (p *proxy) serve(name string, w http.ResponseWriter, r *http.Request) {
	life := p.current()
	if life == 0 {
		panic(http.ErrAbortHandler)
	}
	if !mutates(r) {
		p.upstreams[name].ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	m := &mutation{At: time.Now(), Body: body, Life: life}
	p.row.Lock()
	defer p.row.Unlock()
	if p.current() != life {
		panic(http.ErrAbortHandler) // its sender was killed while it waited
	}
	m.What = p.name(name, r, body)
	p.mu.Lock()
	p.log = append(p.log, m)
	p.mu.Unlock()
	if !p.passes(before, m) {
		panic(http.ErrAbortHandler)
	}
	r = r.WithContext(context.WithoutCancel(r.Context())) // what was sent arrives, even if its sender is dead by now
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	p.upstreams[name].ServeHTTP(answer, r)
	p.mu.Lock()
	m.Status = answer.Code
	p.mu.Unlock()
	if !p.passes(after, m) {
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
	case upstream == "alertmanager":
		return nameAlert(body)
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
		return "record: created" + which(body)
	case strings.HasSuffix(path, "/status") && strings.Contains(path, "/bakes/"):
		return p.nameRecord(body)
	case strings.Contains(path, "/apis/apps/v1/") && has(`"path":"/spec/template"`) && has(`"op":"replace"`):
		return "workload: template"
	case strings.Contains(path, "/apis/apps/v1/") && has("/metadata/managedFields"):
		return "workload: ownership"
	case strings.Contains(path, "/configmaps/") && has(`"path":"/data"`):
		return "configmap: data"
	case strings.Contains(path, "/configmaps/") && has("/metadata/managedFields"):
		return "configmap: ownership"
	case strings.HasSuffix(path, "/configmaps") && has("bakewatch-kept-"):
		return "configmap: kept"
	case strings.Contains(path, "/pods/") && r.Method == http.MethodDelete:
		return "pod: deleted"
	}
	return fmt.Sprintf("%s: %s %s", upstream, r.Method, path)
}

// nameAlert says what a post to Alertmanager is for.
func nameAlert(body []byte) string {
	var alerts []struct {
		EndsAt      time.Time
		Annotations map[string]string
	}
	if err := json.Unmarshal(body, &alerts); err != nil || len(alerts) == 0 {
		return "alert: unreadable"
	}
	switch a := alerts[len(alerts)-1]; {
	case !a.EndsAt.After(time.Now().Add(time.Second)):
		return "alert: resolved"
	case strings.Contains(a.Annotations["summary"], ": rolling back"):
		return "alert: rolling back"
	}
	return "alert: at the end"
}

// which tells the bake of a later rollout apart from that of the first.
func which(body []byte) string {
	var b v1alpha1.Bake
	if err := json.Unmarshal(body, &b); err == nil && b.Spec.To.Number > 2 {
		return fmt.Sprintf(" of rev %d", b.Spec.To.Number)
	}
	return ""
}

// nameRecord says what a write to a bake's record is for: its new state, or else the receipts
// noted in it, by the stage of the newest.
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
	case st.Phase == v1alpha1.PhaseBaking && st.FoundAt != nil && len(p.find("record: Baking, found"+which(body))) == 0:
		state += ", found"
	case st.Phase == v1alpha1.PhaseBaking && st.CompletedAt != nil:
		state += ", complete"
	}
	for _, m := range slices.Backward(p.mutations()) {
		if m.done() && m.What == "record: "+state+which(body) {
			newest := slices.MaxFunc(append(st.Announced, v1alpha1.Receipt{}), func(a, b v1alpha1.Receipt) int { return a.At.Compare(b.At.Time) })
			return "receipts: " + newest.Stage + which(body)
		}
	}
	return "record: " + state + which(body)
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
