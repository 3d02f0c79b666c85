package logs

import (
	"slices"
	"time"
)

// enter takes note of what pods wrote. All lines in sure are known; those before it, from from on, were read before. The lock is
// held.
func (s *Loki) enter(w Workload, list []Pod, lines []stored, from time.Time, sure run, first bool) {
	type key struct{ pod, container string }
	by := map[key][]stored{}
	for _, l := range lines {
		k := key{l.pod, l.container}
		by[k] = append(by[k], l)
	}
	live := map[string]*Pod{}
	for i := range list {
		p := &list[i]
		live[p.Name] = p
		s.meet(p.UID, w, *p).used = s.now()
		for _, c := range p.Containers { // also those that wrote nothing
			if k := (key{p.Name, c.Name}); by[k] == nil {
				by[k] = nil
			}
		}
	}
	for k, of := range by {
		p := live[k.pod]
		// A name may have been another pod's before: a StatefulSet's, or one of Loki's past.
		cut := len(of)
		if p != nil {
			cut, _ = slices.BinarySearchFunc(of, p.Born.Truncate(time.Second), func(l stored, born time.Time) int { return l.at.Compare(born) })
		}
		if before := of[:cut]; len(before) > 0 {
			s.entry(s.former(w, k.pod, p, before[0].at), Container{Name: k.container}, before, from, sure, first)
		}
		if p == nil {
			continue
		}
		c := Container{Name: k.container}
		if i := slices.IndexFunc(p.Containers, func(c Container) bool { return c.Name == k.container || k.container == "" && len(p.Containers) == 1 }); i >= 0 {
			c = p.Containers[i]
			c.Name = k.container
		}
		s.entry(s.meet(p.UID, w, *p), c, of[cut:], from, sure, first)
	}
}

// former is the pod that had a name before: one that was there when the workload was looked at, or else one that only Loki knows.
func (s *Loki) former(w Workload, name string, now *Pod, born time.Time) *tally {
	var out *tally
	for uid, t := range s.pods {
		if t.of == w && t.name == name && (now == nil || uid != now.UID) && (out == nil || t.born.After(out.born)) {
			out = t
		}
	}
	if out == nil {
		out = s.meet("only in Loki: "+w.String()+"/"+name, w, Pod{Name: name, Born: born})
	}
	return out
}

// entry takes note of what one container wrote, and when it is known to have run.
func (s *Loki) entry(t *tally, c Container, lines []stored, from time.Time, sure run, first bool) {
	folder := Folder{Found: func(f Failure) {
		if !first && f.At.Before(from.Add(unsure)) {
			return // it may have begun before, and was read then
		}
		t.failed(f)
	}}
	for _, l := range lines {
		t.said(l.at)
		folder.Add(l.at, l.text)
	}
	if n := len(lines); n > 0 && (lines[n-1].at.Before(sure.to.Add(-unsure)) || folder.in == report) {
		folder.Flush() // else it may go on, and is read once more
	}
	ran := func(a, b time.Time) { t.ran(later(a, sure.from), earlier(b, sure.to)) }
	between := func(a, b time.Time) {
		if b.Sub(a) > quietFor {
			return
		}
		if c.Last.to.IsZero() || c.Now.from.IsZero() {
			ran(a, b)
			return
		}
		ran(a, earlier(b, c.Last.to)) // it did not run between its runs
		ran(later(a, c.Now.from), b)
	}
	heard := t.heard[c.Name]
	for i, l := range lines {
		switch {
		case !heard.IsZero():
			between(heard, l.at)
		case i > 0:
		case !c.Now.from.IsZero() && !l.at.Before(c.Now.from):
			between(c.Now.from, l.at)
		case !c.Last.from.IsZero() && !l.at.Before(c.Last.from):
			between(c.Last.from, l.at)
		}
		if l.at.After(heard) {
			heard = l.at
		}
	}
	if heard.IsZero() {
		return // that it has written nothing may be because nothing arrives
	}
	t.heard[c.Name] = heard
	if !c.Now.from.IsZero() && !heard.Before(c.Now.from.Truncate(time.Second)) { // it runs, and its lines arrive
		ran(heard, earlier(sure.to, heard.Add(quietFor)))
	}
}
