package helm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"helm.sh/helm/v4/pkg/kube"
	v1 "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// requestTimeout bounds one request that is not a watch.
const requestTimeout = 15 * time.Second

// Helm takes its field manager from the program's name. What it writes here is the release's as if helm had written it: the
// next helm upgrade is to meet no conflict.
func init() { kube.ManagedFieldsManager = "helm" }

// session is what one call reaches the cluster through. Every request of it ends with its context: Helm's own calls take none.
type session struct {
	getter  *getter
	kube    *kube.Client
	secrets *driver.Secrets
}

// open makes a session for the releases of a namespace. In a dry one nothing is written.
func (r *Releases) open(ctx context.Context, namespace string, dry bool) (*session, error) {
	config := rest.CopyConfig(r.Config)
	config.Timeout = 0 // it would end watches, too
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		if dry {
			next = dryRun{next}
		}
		return bound{next, ctx}
	})
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a kubernetes client: %w", err)
	}
	g := newGetter(config, client.Discovery(), namespace)
	s := &session{getter: g, kube: kube.New(g), secrets: driver.NewSecrets(client.CoreV1().Secrets(namespace))}
	s.kube.Namespace = namespace
	s.kube.SetLogger(slog.DiscardHandler)
	s.secrets.SetLogger(slog.DiscardHandler)
	return s, nil
}

// history are the revisions of a release on record, newest first; none where there is no such release.
func (s *session) history(name string) ([]*v1.Release, error) {
	records := storage.Init(s.secrets)
	found, err := records.History(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []*v1.Release
	for _, f := range found {
		if rel, ok := f.(*v1.Release); ok && rel.Info != nil {
			out = append(out, rel)
		}
	}
	slices.SortFunc(out, func(a, b *v1.Release) int { return b.Version - a.Version })
	return out, nil
}

// getter hands Helm what it makes its clients from.
type getter struct {
	config    *rest.Config
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
	loader    clientcmd.ClientConfig
}

func newGetter(config *rest.Config, d discovery.DiscoveryInterface, namespace string) *getter {
	cached := memory.NewMemCacheClient(d)
	loader := clientcmd.NewDefaultClientConfig(api.Config{}, &clientcmd.ConfigOverrides{Context: api.Context{Namespace: namespace}})
	return &getter{config: config, discovery: cached, mapper: restmapper.NewDeferredDiscoveryRESTMapper(cached), loader: loader}
}

// ToRESTConfig is how the cluster is reached.
func (g *getter) ToRESTConfig() (*rest.Config, error) { return g.config, nil }

// ToDiscoveryClient says what kinds the cluster knows.
func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

// ToRESTMapper finds kinds by their names.
func (g *getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

// ToRawKubeConfigLoader knows the namespace.
func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig { return g.loader }

// bound ends each request with the context of its session, and what is no watch after a time of its own.
type bound struct {
	next http.RoundTripper
	ctx  context.Context
}

// RoundTrip implements http.RoundTripper.
func (b bound) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := b.ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	if req.URL.Query().Get("watch") == "" {
		ctx, cancel = context.WithTimeout(req.Context(), requestTimeout)
	}
	stop := context.AfterFunc(b.ctx, cancel)
	done := func() { stop(); cancel() }
	resp, err := b.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		done()
		return nil, err
	}
	resp.Body = &body{resp.Body, done}
	return resp, nil
}

// body lets go of a request's context when the answer is read.
type body struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (b *body) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// dryRun has the API server try every write, and carry none out. Helm has a switch for it, which part of its code heeds.
type dryRun struct{ next http.RoundTripper }

var errNotDry = errors.New("a deletion that is only to be tried would be carried out")

// RoundTrip implements http.RoundTripper.
func (d dryRun) RoundTrip(req *http.Request) (*http.Response, error) {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodDelete: // of its options the API server reads those in the body alone, if there is one
		if ok, err := triedOnly(req); err != nil || !ok {
			return nil, errors.Join(errNotDry, err)
		}
	default:
		req = req.Clone(req.Context())
		q := req.URL.Query()
		q.Set("dryRun", "All")
		req.URL.RawQuery = q.Encode()
	}
	return d.next.RoundTrip(req)
}

// triedOnly reports whether a deletion's options say that it is only tried.
func triedOnly(req *http.Request) (bool, error) {
	if req.Body == nil {
		return false, nil
	}
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return false, err
	}
	req.Body = io.NopCloser(bytes.NewReader(raw))
	var options struct {
		DryRun []string `json:"dryRun"`
	}
	err = json.Unmarshal(raw, &options)
	return slices.Contains(options.DryRun, "All"), err
}
