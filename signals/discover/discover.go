// Package discover finds out what measures a workload: which of the sources' presets have series for it, and which Services
// and Ingresses lead to it.
package discover

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/signals"
)

// Source is a metrics source that knows presets.
type Source interface {
	// Find says which presets measure a subject, and which do not. An error says that it cannot be known now.
	Find(ctx context.Context, s signals.Subject) ([]signals.Found, []signals.Absent, error)
}

// Router knows what leads to a workload.
type Router interface {
	// Routes are the Services that lead to the workload's pods, and those pods' labels. An error says that they are not known;
	// what is known is returned all the same.
	Routes(ctx context.Context, kind, namespace, name string) (routes []signals.Route, labels map[string]string, err error)
}

// Finder asks all sources. It implements bake.Finder.
type Finder struct {
	Sources func() map[string]Source // by name; those that are configured now
	Router  Router                   // nil: nothing leads to any workload
}

// Find asks each source in turn. One that cannot be asked fails the search, since what it would have found is not known to be
// nothing; what the others found is returned all the same.
func (f *Finder) Find(ctx context.Context, s bake.Search) (bake.Findings, error) {
	subject := signals.Subject{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name, Signals: s.Signals, Past: s.Past, At: s.At,
		Candidate: version(s.Kind, s.To), Baseline: version(s.Kind, s.From)}
	var out bake.Findings
	if f.Router != nil {
		routes, labels, err := f.Router.Routes(ctx, s.Kind, s.Namespace, s.Name)
		if subject.Routes, subject.Service = routes, labels[serviceLabel]; err != nil {
			out.NotMeasured = append(out.NotMeasured, v1alpha1.NotMeasured{Source: signals.Kubernetes, Preset: "Services and Ingresses", Why: err.Error()})
		}
	}
	if len(subject.Routes) > 0 {
		out.Service = subject.Routes[0].Service
	}
	sources := f.Sources()
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		found, absent, err := sources[name].Find(ctx, subject)
		if err != nil {
			failed = append(failed, err)
			if out.Away == nil {
				out.Away = map[string]string{}
			}
			out.Away[name] = err.Error()
			continue
		}
		out.Measured = append(out.Measured, found...)
		for _, a := range absent {
			out.NotMeasured = append(out.NotMeasured, v1alpha1.NotMeasured{Signal: a.Signal, Source: name, Preset: a.Preset, Why: a.Why})
		}
	}
	return out, errors.Join(failed...)
}

// serviceLabel is how pods say what Datadog is to call their service.
const serviceLabel = "tags.datadoghq.com/service"

func version(kind string, r v1alpha1.Revision) signals.Version {
	v := signals.Version{Version: bake.VersionOf(&r)}
	if r.Name != "" && signals.NamesTell(kind) {
		v.Pods = r.Name + "-"
	}
	return v
}
