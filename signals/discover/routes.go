package discover

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/signals"
)

// Cluster reads routes from the Kubernetes API. It lists a namespace's Services and Ingresses once for each search.
type Cluster struct {
	Client  kubernetes.Interface
	Dynamic dynamic.Interface // for Traefik's IngressRoutes; nil: they are not looked for
}

const (
	routesTimeout = 10 * time.Second
	maxListed     = 1000 // objects of a kind in a namespace that are looked at
)

// ingressRoutes are Traefik's own resources, as they are called now and as they were.
var ingressRoutes = []schema.GroupVersionResource{
	{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"},
	{Group: "traefik.containo.us", Version: "v1alpha1", Resource: "ingressroutes"},
}

// Routes implements Router.
func (c *Cluster) Routes(ctx context.Context, kind, namespace, name string) ([]signals.Route, map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, routesTimeout)
	defer cancel()
	pods, err := c.podLabels(ctx, kind, namespace, name)
	if err != nil {
		return nil, nil, fmt.Errorf("which Services lead to it is not known: %w", err)
	}
	list, err := c.Client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{Limit: maxListed})
	if err != nil {
		return nil, pods, fmt.Errorf("which Services lead to it is not known: %w", err)
	}
	routes := leading(list.Items, pods)
	if len(routes) == 0 {
		return nil, pods, nil
	}
	var unknown []error
	ingresses, err := c.Client.NetworkingV1().Ingresses(namespace).List(ctx, metav1.ListOptions{Limit: maxListed})
	if err != nil {
		unknown = append(unknown, fmt.Errorf("which Ingresses lead to it is not known: %w", err))
	} else {
		addIngresses(routes, ingresses.Items)
	}
	if c.Dynamic != nil {
		for _, kind := range ingressRoutes {
			list, err := c.Dynamic.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: maxListed})
			switch {
			case apierrors.IsNotFound(err): // this cluster has no such resource
			case err != nil:
				unknown = append(unknown, fmt.Errorf("which %s lead to it is not known: %w", kind.GroupResource(), err))
			default:
				addIngressRoutes(routes, list.Items)
			}
		}
	}
	return routes, pods, errors.Join(unknown...)
}

func (c *Cluster) podLabels(ctx context.Context, kind, namespace, name string) (map[string]string, error) {
	switch kind {
	case "Deployment":
		d, err := c.Client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return d.Spec.Template.Labels, nil
	case "StatefulSet":
		s, err := c.Client.AppsV1().StatefulSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return s.Spec.Template.Labels, nil
	case "DaemonSet":
		s, err := c.Client.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return s.Spec.Template.Labels, nil
	}
	return nil, fmt.Errorf("a %s has no pods that are known of", kind)
}

// leading are the Services that select pods with those labels, sorted by name: one with ports for callers before one
// without.
func leading(services []corev1.Service, pods map[string]string) []signals.Route {
	var out []signals.Route
	for _, s := range services {
		if len(s.Spec.Selector) == 0 || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pods)) {
			continue
		}
		r := signals.Route{Service: s.Name}
		for _, p := range s.Spec.Ports {
			r.Ports = append(r.Ports, signals.Port{Name: p.Name, Number: p.Port})
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b signals.Route) int { return strings.Compare(a.Service, b.Service) })
	return out
}

func addIngresses(routes []signals.Route, ingresses []networkingv1.Ingress) {
	for _, i := range ingresses {
		class := i.Annotations["kubernetes.io/ingress.class"]
		if i.Spec.IngressClassName != nil {
			class = *i.Spec.IngressClassName
		}
		add := func(b *networkingv1.IngressServiceBackend, host string) {
			if b == nil {
				return
			}
			at := slices.IndexFunc(routes, func(r signals.Route) bool { return r.Service == b.Name })
			if at < 0 {
				return
			}
			into(&routes[at], signals.Ingress{Kind: "Ingress", Name: i.Name, Class: class, Port: signals.Port{Name: b.Port.Name, Number: b.Port.Number}}, host)
		}
		if i.Spec.DefaultBackend != nil {
			add(i.Spec.DefaultBackend.Service, "")
		}
		for _, rule := range i.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, p := range rule.HTTP.Paths {
				add(p.Backend.Service, rule.Host)
			}
		}
	}
}

// into adds an Ingress to a route, or a host to the one that is there.
func into(r *signals.Route, i signals.Ingress, host string) {
	at := slices.IndexFunc(r.Ingresses, func(o signals.Ingress) bool { return o.Kind == i.Kind && o.Name == i.Name && o.Port == i.Port })
	if at < 0 {
		r.Ingresses = append(r.Ingresses, i)
		at = len(r.Ingresses) - 1
	}
	if known := &r.Ingresses[at]; host != "" && !slices.Contains(known.Hosts, host) {
		known.Hosts = append(known.Hosts, host)
	}
}

// hostRule finds the hosts in a Traefik rule: Host(`a.example.org`, `b.example.org`) && PathPrefix(`/x`).
var hostRule = regexp.MustCompile(`Host\(([^)]*)\)`)

var quotedHost = regexp.MustCompile("[`\"]([A-Za-z0-9.*-]+)[`\"]")

func addIngressRoutes(routes []signals.Route, objects []unstructured.Unstructured) {
	for _, o := range objects {
		rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "routes")
		for _, r := range rules {
			rule, ok := r.(map[string]any)
			if !ok {
				continue
			}
			match, _ := rule["match"].(string)
			var hosts []string
			for _, call := range hostRule.FindAllStringSubmatch(match, -1) {
				for _, h := range quotedHost.FindAllStringSubmatch(call[1], -1) {
					hosts = append(hosts, h[1])
				}
			}
			services, _ := rule["services"].([]any)
			for _, s := range services {
				service, ok := s.(map[string]any)
				if !ok {
					continue
				}
				name, _ := service["name"].(string)
				namespace, _ := service["namespace"].(string)
				if namespace != "" && namespace != o.GetNamespace() {
					continue
				}
				at := slices.IndexFunc(routes, func(r signals.Route) bool { return r.Service == name })
				if at < 0 {
					continue
				}
				i := signals.Ingress{Kind: "IngressRoute", Name: o.GetName(), Port: portOf(service["port"])}
				into(&routes[at], i, "")
				for _, h := range hosts {
					into(&routes[at], i, h)
				}
			}
		}
	}
}

// portOf reads a port that is a number or a name.
func portOf(v any) signals.Port {
	switch p := v.(type) {
	case int64:
		return signals.Port{Number: int32(p)} //nolint:gosec // a port that does not fit leads nowhere
	case float64:
		return signals.Port{Number: int32(p)}
	case string:
		return signals.Port{Name: p}
	}
	return signals.Port{}
}
