package bake

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/policy"
)

// Config is a ConfigMap that a workload's pods read, as the watch knows it.
type Config struct {
	v1alpha1.ConfigVersion        // its Digest is empty when there is none of that name
	Version                string // its resource version
	// Mounted says that pods have it as files, which change while they run; AtStart that it is also, or only, read when a
	// container starts: as variables, or as a file mounted by subPath.
	Mounted, AtStart bool
	// Left says, as a clause, why its changes are no rollouts; empty when they are.
	Left      string
	Owner     Owner     // who would write it back
	ChangedBy string    // the tool that last wrote its data
	ChangedAt time.Time // when that was; zero when it is not known
}

// configMap is a ConfigMap as people call it.
func configMap(name string) string { return "ConfigMap " + name }

// followed reports whether its changes are rollouts.
func (c Config) followed() bool { return c.Left == "" && c.Digest != "" }

// old reports whether it changed too long ago for that to be judged.
func (c Config) old(now time.Time, live policy.Resolved) bool {
	return !c.ChangedAt.IsZero() && now.Sub(c.ChangedAt) > live.Window+patience
}

// Configs reads what workloads are configured with, keeps what is known good of it, and puts it back.
type Configs interface {
	// Kept is the digest of the content of a ConfigMap that was last kept as known good; empty when none is.
	Kept(ctx context.Context, namespace, name string) (digest string, err error)
	// Has reports whether that content is kept.
	Has(ctx context.Context, namespace string, v v1alpha1.ConfigVersion) (bool, error)
	// Keep keeps what is in a ConfigMap now, if it is of that digest, and forgets what was kept before the last time. It may
	// be repeated after a crash. ErrNewer says that it is of another one; ErrTooLarge that it is too large to be kept.
	Keep(ctx context.Context, namespace string, v v1alpha1.ConfigVersion) error
	// Compare names the keys in which the ConfigMap differs from the content that is kept, values only if they may be shown.
	Compare(ctx context.Context, namespace string, kept v1alpha1.ConfigVersion, values bool) ([]string, error)
	// Restore puts content that is kept back, if what is there is still what was judged, and leaves no trace of ownership on
	// the data. It returns nil when the content is there already, whoever put it there, so that it may be repeated after a
	// crash. ErrGone, ErrNewer and ErrNoRevision, which says that it is not kept, are final; any other error may be tried again.
	Restore(ctx context.Context, namespace string, r v1alpha1.ConfigRestore) error
}

// ErrTooLarge says that a ConfigMap is too large for its content to be kept.
var ErrTooLarge = errors.New("too large to be kept")

// Codes about configuration.
const (
	CodeConfigRestored = "config-restored" // another workload's rollback put the ConfigMap back
	CodeConfigNotKept  = "config-not-kept" // the content to go back to is not kept
	CodeConfigOff      = "config-off"      // policy no longer has ConfigMaps put back
)

// toRestore are the ConfigMaps that going back to From puts back.
func toRestore(spec v1alpha1.BakeSpec) []v1alpha1.ConfigRestore {
	if spec.From == nil {
		return nil
	}
	var out []v1alpha1.ConfigRestore
	for _, v := range differing(spec.From.ConfigMaps, spec.To.ConfigMaps) {
		out = append(out, v1alpha1.ConfigRestore{Name: v.Name, Judged: v.Digest, Target: spec.From.ConfigMaps[index(spec.From.ConfigMaps, v.Name)].Digest})
	}
	return out
}

// contents are the versions of the ConfigMaps that are followed.
func contents(cs []Config) []v1alpha1.ConfigVersion {
	var out []v1alpha1.ConfigVersion
	for _, c := range cs {
		if c.followed() && len(out) < maxConfigs {
			out = append(out, c.ConfigVersion)
		}
	}
	return out
}

func index(vs []v1alpha1.ConfigVersion, name string) int {
	return slices.IndexFunc(vs, func(v v1alpha1.ConfigVersion) bool { return v.Name == name })
}

func listed(vs []v1alpha1.ConfigVersion, name string) bool { return index(vs, name) >= 0 }

func configNames(vs []v1alpha1.ConfigVersion) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.Name
	}
	return out
}

// differing are those of the new versions that had another content before. What is named on one side only is no difference: it
// came or went with the template.
func differing(was, is []v1alpha1.ConfigVersion) []v1alpha1.ConfigVersion {
	var out []v1alpha1.ConfigVersion
	for _, v := range is {
		if i := index(was, v.Name); i >= 0 && was[i].Digest != v.Digest {
			out = append(out, v)
		}
	}
	return out
}

// same reports whether no ConfigMap that both name differs.
func same(a, b []v1alpha1.ConfigVersion) bool { return len(differing(a, b)) == 0 }

// joined are the versions of those that are read now: as known, or else as they are. One that is gone for a moment, while
// somebody replaces it, stays known.
func joined(known []v1alpha1.ConfigVersion, cs []Config) []v1alpha1.ConfigVersion {
	var out []v1alpha1.ConfigVersion
	for _, c := range cs {
		switch i := index(known, c.Name); {
		case i >= 0:
			out = append(out, known[i])
		case c.followed() && len(out) < maxConfigs:
			out = append(out, c.ConfigVersion)
		}
	}
	return out
}

// sameRevision reports whether two revisions are the same template, and as far as is known the same configuration.
func sameRevision(a, b v1alpha1.Revision) bool {
	return a.Hash == b.Hash && same(a.ConfigMaps, b.ConfigMaps)
}

// readNow is the current revision with what its running pods read now.
func readNow(e *entry, s Sight) v1alpha1.Revision {
	r := e.current
	r.ConfigMaps = slices.Clone(r.ConfigMaps)
	var changed []v1alpha1.ConfigVersion
	for _, c := range s.Configs {
		if i := index(r.ConfigMaps, c.Name); i >= 0 && c.followed() && c.Mounted && r.ConfigMaps[i].Digest != c.Digest {
			r.ConfigMaps[i] = c.ConfigVersion
			changed = append(changed, c.ConfigVersion)
		}
	}
	if len(changed) > 0 {
		r.Configuration = label(r.ConfigMaps, changed)
	}
	return r
}

// withConfiguration is what a revision is called, with its configuration where that tells it from others.
func withConfiguration(name, configuration string) string {
	if configuration == "" {
		return name
	}
	return name + " with " + strings.TrimSpace(configuration)
}

// restored is a ConfigMap whose content a rollback puts back.
type restored struct {
	name, digest string
	bake, ref    string // of whose rollback
	at           time.Time
	open         bool // it goes on, or is about to begin
	intended     bool // and is on record
}

// claimFor is how long a rollback that is about to begin keeps others of the same ConfigMap waiting while it is not on record.
const claimFor = 10 * time.Second

// claim has a bake be the one that puts its ConfigMaps back, unless another is already, which it returns.
func (rs *restores) claim(b *v1alpha1.Bake, now time.Time) *restored {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, c := range toRestore(b.Spec) {
		key := b.Namespace + "/" + c.Name
		if r, ok := rs.by[key]; ok && r.open && r.bake != id(b) && r.digest == c.Target && (r.intended || now.Sub(r.at) < claimFor) {
			return &r
		}
		if rs.by == nil || len(rs.by) >= maxRestores {
			rs.by = map[string]restored{}
		}
		rs.by[key] = restored{c.Name, c.Target, id(b), b.Namespace + " " + b.Spec.Ref, now, true, false}
	}
	return nil
}

// restores remembers who put which ConfigMap back last, for the other workloads that read it.
type restores struct {
	mu sync.Mutex
	by map[string]restored // by namespace/name
}

// maxRestores bounds how many are remembered. Each was a rollback, of which there are few.
const maxRestores = 10_000

// note remembers what a bake puts back, from its intent on.
func (rs *restores) note(b *v1alpha1.Bake) {
	rb := b.Status.Rollback
	if rb == nil {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, c := range rb.ConfigMaps {
		key := b.Namespace + "/" + c.Name
		at := rb.IntendedAt.Time // the watches of others may tell of the deed before its receipt is on record
		if c.DoneAt != nil {
			at = c.DoneAt.Time
		}
		own := rs.by[key].bake == id(b)
		switch over := b.Status.Outcome != ""; {
		case over && c.DoneAt == nil && own:
			delete(rs.by, key) // it was not put back
			continue
		case over && c.DoneAt == nil, !own && !rs.by[key].at.Before(at):
			continue
		}
		if rs.by == nil || len(rs.by) >= maxRestores {
			rs.by = map[string]restored{}
		}
		rs.by[key] = restored{c.Name, c.Target, id(b), b.Namespace + " " + b.Spec.Ref, at, b.Status.Outcome == "", true}
	}
}

// of is the rollback that made those ConfigMaps what they are; nil when it was none.
func (rs *restores) of(namespace string, is []v1alpha1.ConfigVersion) *restored {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var found *restored
	for _, v := range is {
		r, ok := rs.by[namespace+"/"+v.Name]
		if !ok || r.digest != v.Digest {
			return nil
		}
		found = &r
	}
	return found
}
