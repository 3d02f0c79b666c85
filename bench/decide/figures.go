package main

import (
	"fmt"
	"strings"
)

// samples are the scenarios that docs/deciding.md shows: one replica of a small service replaced by another, one new pod
// beside three old ones, and a rolling update.
var samples = []string{
	"step/independent/replace/1rps/1%/x10",
	"step/independent/replace/1rps/1%/all-fail",
	"step/independent/replace/10rps/1%/x4",
	"step/independent/replace/50rps/0.5%/x10",
	"step/independent/1of4/10rps/1%/x10",
	"step/independent/1of4/50rps/1%/x4",
	"step/independent/1of4/1000rps/0.1%/x10",
	"step/independent/rolling5m/10rps/1%/x10",
	"late/independent/replace/10rps/1%/x10",
}

// figures are what the documentation says of the results, as Markdown.
func (r results) figures(j judge) string {
	var w strings.Builder
	w.WriteString("| goal | reached | |\n|---|---|---|\n")
	for _, g := range r.reach(j) {
		met := "yes"
		if !g.met {
			met = "no"
		}
		fmt.Fprintf(&w, "| %s | %s | %s |\n", g.what, met, g.detail)
	}
	w.WriteString("\n| scenario | bound | mean delay | requests failed until then | Flagger | Argo Rollouts | Kayenta |\n|---|---|---|---|---|---|---|\n")
	for _, name := range samples {
		for _, s := range r.Scenarios {
			if s.Name != name {
				continue
			}
			bound := "none"
			if s.Bound != nil {
				bound = seconds(*s.Bound)
			}
			fmt.Fprintf(&w, "| %s | %s | %s | %.0f |", s.Name, bound, seconds(s.MeanDelay), s.Failed)
			for _, v := range rivals {
				o := s.Rivals[v.name]
				fmt.Fprintf(&w, " %.0f (%s) |", o.Failed, seconds(o.MeanDelay))
			}
			w.WriteString("\n")
		}
	}
	return w.String()
}
