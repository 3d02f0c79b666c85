package policy

import (
	"cmp"
	"time"
)

// Configuration is what is done about changes of what workloads are configured with. A nil field is not set: in
// Config.Configuration the defaults fill all of them, in an Override nil leaves what applied before.
type Configuration struct {
	ConfigMaps *bool `json:"configMaps,omitempty"` // whether another content of a ConfigMap that the pods read is a rollout
	ShowValues *bool `json:"showValues,omitempty"` // whether people are told the values that changed, and not the keys only
	Sync       *Span `json:"sync,omitempty"`       // within what time kubelets bring it to the pods that have it mounted
}

// ConfigurationRules are a Configuration, resolved. The zero ConfigurationRules follow nothing.
type ConfigurationRules struct {
	ConfigMaps bool `json:"configMaps"`
	ShowValues bool `json:"showValues"`
	Sync       Span `json:"sync"`
}

// The bounds of what may be set.
const minSync, maxSync = time.Second, time.Hour

// defaultConfiguration follows nothing: it takes rights that not everybody gives. A kubelet looks every minute at what its pods
// have mounted, and may have it in a cache for as long.
func defaultConfiguration() Configuration {
	return Configuration{ConfigMaps: new(false), ShowValues: new(false), Sync: new(Span(2 * time.Minute))}
}

// with is c with what o sets in its place.
func (c Configuration) with(o Configuration) Configuration {
	return Configuration{
		ConfigMaps: cmp.Or(o.ConfigMaps, c.ConfigMaps),
		ShowValues: cmp.Or(o.ShowValues, c.ShowValues),
		Sync:       cmp.Or(o.Sync, c.Sync),
	}
}

// resolved is c for a bake. All of it is set: it began from the defaults.
func (c Configuration) resolved() ConfigurationRules {
	return ConfigurationRules{ConfigMaps: *c.ConfigMaps, ShowValues: *c.ShowValues, Sync: *c.Sync}
}

// FollowsConfigMaps reports whether the ConfigMaps of any workload are followed at all.
func (c *Config) FollowsConfigMaps() bool {
	follows := func(f Configuration) bool { return f.ConfigMaps != nil && *f.ConfigMaps }
	if follows(c.Configuration) {
		return true
	}
	for _, o := range c.Workloads {
		if follows(o.Configuration) {
			return true
		}
	}
	return false
}

// configuration checks c as it was written.
func (k *checker) configuration(path string, c Configuration) {
	if c.Sync != nil {
		k.between(join(path, "sync"), time.Duration(*c.Sync), minSync, maxSync)
	}
}

// configMaps applies the annotation that leaves a workload's ConfigMaps alone.
func (r *resolver) configMaps() {
	switch v, ok := r.target.Annotations[annotationConfigMaps]; {
	case !ok || v == "true" && *r.configuration.ConfigMaps:
	case v == "false":
		r.configuration.ConfigMaps = new(false)
	case v == "true":
		r.problem(annotationConfigMaps, "cannot be true: the ConfigMap does not have them followed, and the less of both applies")
	default:
		r.problem(annotationConfigMaps, `must be "true" or "false", not %s`, quote(v))
	}
}
