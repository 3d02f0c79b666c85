package bake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// configMapFake is a ConfigMap. Its content is named by its digest; one that begins with "bad" makes those who read it fail.
type configMapFake struct {
	version  int
	contents []content // oldest first
	kept     []string  // newest last
	owned    bool      // managedFields hold an entry of ours
	restores []string  // writes of the data by a restore, in order
	owner    Owner
	left     string
}

type content struct {
	digest string
	at     time.Time
}

func (m *configMapFake) now() string { return m.contents[len(m.contents)-1].digest }

// at is what was in it at a time, as mounted files show it: a while later.
func (m *configMapFake) at(t time.Time) string {
	is := m.contents[0].digest
	for _, c := range m.contents {
		if !c.at.Add(5 * time.Second).After(t) {
			is = c.digest
		}
	}
	return is
}

// configsOf are the ConfigMaps that a workload reads.
func (c *cluster) configsOf(w *workload) []Config {
	if c.configs == nil {
		return nil
	}
	out := []Config{}
	for _, name := range w.reads {
		plain := strings.TrimPrefix(name, "$")
		r := Config{ConfigVersion: v1alpha1.ConfigVersion{Name: plain}, Mounted: plain == name, AtStart: plain != name}
		if m := c.configs[plain]; m != nil {
			r.Digest, r.Version, r.ChangedAt, r.ChangedBy, r.Owner, r.Left = m.now(), fmt.Sprint(m.version), m.contents[len(m.contents)-1].at.Truncate(time.Second), "kubectl", m.owner, m.left
		}
		out = append(out, r)
	}
	return out
}

// configured is the share of requests that pods of a revision fail for what they read.
func (c *cluster) configured(w *workload, s *set, at time.Time) float64 {
	for _, name := range w.reads {
		plain := strings.TrimPrefix(name, "$")
		m := c.configs[plain]
		if m == nil {
			continue
		}
		if plain != name { // as it was when the pods were started
			began := s.served[len(s.served)-1].from
			if w.reborn.After(began) && !at.Before(w.reborn) {
				began = w.reborn
			}
			at = began
		}
		if strings.HasPrefix(m.at(at), "bad") {
			return 0.3
		}
	}
	return 0
}

// configure changes a ConfigMap as a user does, and has the watch tell of those who read it.
func (c *cluster) configure(name, digest string) {
	c.mu.Lock()
	if c.configs == nil {
		c.configs = map[string]*configMapFake{}
	}
	if c.configs[name] == nil {
		c.configs[name] = &configMapFake{}
	}
	c.put2(c.configs[name], digest)
	c.mu.Unlock()
	c.toldOf(name)
}

func (c *cluster) put2(m *configMapFake, digest string) {
	c.version++
	m.version = c.version
	m.contents = append(m.contents, content{digest, time.Now()})
}

func (c *cluster) toldOf(name string) {
	c.mu.Lock()
	var keys []Key
	for k, w := range c.workloads {
		if slices.Contains(w.reads, name) || slices.Contains(w.reads, "$"+name) {
			keys = append(keys, k)
		}
	}
	c.mu.Unlock()
	for _, k := range keys {
		c.told(k)
	}
}

// configsFake is a process as Configs.
type configsFake struct{ *process }

func (p configsFake) Kept(_ context.Context, _, name string) (string, error) {
	if err := p.gone(); err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.configs[name]; m != nil && len(m.kept) > 0 {
		return m.kept[len(m.kept)-1], nil
	}
	return "", nil
}

func (p configsFake) Has(_ context.Context, _ string, v v1alpha1.ConfigVersion) (bool, error) {
	if err := p.gone(); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.configs[v.Name].kept, v.Digest), nil
}

func (p configsFake) Keep(_ context.Context, _ string, v v1alpha1.ConfigVersion) error {
	p.mu.Lock()
	m := p.configs[v.Name]
	now, kept := m.now(), slices.Clone(m.kept)
	p.mu.Unlock()
	switch {
	case now != v.Digest:
		return ErrNewer
	case len(kept) > 0 && kept[len(kept)-1] == v.Digest:
		return nil
	}
	return p.write(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		m.kept = append(slices.DeleteFunc(m.kept, func(d string) bool { return d == v.Digest }), v.Digest)
		m.kept = m.kept[max(0, len(m.kept)-2):]
		return nil
	})
}

func (p configsFake) Compare(_ context.Context, _ string, kept v1alpha1.ConfigVersion, values bool) ([]string, error) {
	if err := p.gone(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.configs[kept.Name]
	switch {
	case !slices.Contains(m.kept, kept.Digest):
		return nil, ErrNoRevision
	case values:
		return []string{"key color changed: " + kept.Digest + " → " + m.now()}, nil
	}
	return []string{"key color changed"}, nil
}

func (p configsFake) Restore(_ context.Context, _ string, r v1alpha1.ConfigRestore) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.mu.Lock()
	m := p.configs[r.Name]
	p.mu.Unlock()
	release := func() error {
		p.mu.Lock()
		owned := m.owned
		p.mu.Unlock()
		if !owned {
			return nil
		}
		return p.write(func() error { p.mu.Lock(); defer p.mu.Unlock(); m.owned = false; return nil })
	}
	p.mu.Lock()
	now := m.now()
	p.mu.Unlock()
	switch {
	case now == r.Target:
		return release()
	case now != r.Judged:
		return ErrNewer
	case !slices.Contains(m.kept, r.Target):
		return ErrNoRevision
	}
	err := p.write(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		m.restores = append(m.restores, now+" to "+r.Target)
		m.owned = true
		p.put2(m, r.Target)
		return nil
	})
	p.toldOf(r.Name)
	if err != nil {
		return err
	}
	return release()
}

// Started: pods of the revision were started when it was rolled out, and some once more when they were reborn.
func (p *process) Started(_ context.Context, k Key, r v1alpha1.Revision, since time.Time) (time.Time, error) {
	if err := p.gone(); err != nil {
		return time.Time{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[k]
	if w == nil || w.rolled != r.Hash || w.reborn.Before(since) {
		return time.Time{}, nil
	}
	return w.reborn, nil
}

// Restart is the conditional patch of the restart annotation, and the hand-over after it.
func (p *process) Restart(_ context.Context, k Key, uid string, r v1alpha1.Revision, at string) error {
	if err := p.gone(); err != nil {
		return err
	}
	p.mu.Lock()
	w := p.workloads[k]
	p.mu.Unlock()
	release := func() error {
		p.mu.Lock()
		owned := w.owned
		p.mu.Unlock()
		if !owned {
			return nil
		}
		return p.write(func() error { p.mu.Lock(); defer p.mu.Unlock(); w.owned = false; p.releases++; return nil })
	}
	p.mu.Lock()
	template, restarted := w.template, w.restartedAt
	p.mu.Unlock()
	switch {
	case w.uid != uid:
		return ErrGone
	case restarted == at:
		return release()
	case template != r.Hash:
		return ErrNewer
	}
	err := p.write(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changes = append(p.changes, "restart of "+template)
		w.template, w.restartedAt, w.owned = template+"-again", at, true
		p.roll(k, w)
		return nil
	})
	p.told(k)
	if err != nil {
		return err
	}
	return release()
}
