package main

import (
	"fmt"
	"slices"
	"strings"
)

// suspicions says how rare suspicions are on good rollouts, by noise, and what they are worth on bad ones: how many of those
// that were rolled back were suspected before, and how much sooner; and of how many people who ask are told.
func suspicions(all []scenario, runs [][][]outcome, margin float64) string {
	type tally struct {
		runs, suspected, told int
		leads                 []float64
	}
	good, bad := map[string]*tally{}, map[string]*tally{}
	of := func(m map[string]*tally, name string) *tally {
		if m[name] == nil {
			m[name] = &tally{}
		}
		return m[name]
	}
	var order []string
	for i, s := range all {
		if !slices.Contains(order, s.noise) {
			order = append(order, s.noise)
		}
		for _, run := range runs[i] {
			o := run[0]
			if s.healthy(margin) {
				t := of(good, s.noise)
				t.runs++
				if o.told {
					t.told++
				}
				if o.suspected {
					t.suspected++
				}
			} else if o.rolledBack {
				t := of(bad, s.noise)
				t.runs++
				if o.told {
					t.told++
				}
				if o.suspected {
					t.suspected++
					t.leads = append(t.leads, o.lead)
				}
			}
		}
	}
	var w strings.Builder
	for _, noise := range order {
		if t := good[noise]; t != nil {
			fmt.Fprintf(&w, "%-16s  good: %d of %d rollouts were ever suspicious (%.2g%%), and people told of %d", noise, t.suspected, t.runs, 100*float64(t.suspected)/float64(t.runs), t.told)
		}
		if t := bad[noise]; t != nil {
			slices.Sort(t.leads)
			fmt.Fprintf(&w, "; rolled back: %d of %d were suspicious before, and people told of %d", t.suspected, t.runs, t.told)
			if len(t.leads) > 0 {
				fmt.Fprintf(&w, ", by %.0f s in the median", median(t.leads))
			}
		}
		w.WriteString("\n")
	}
	return w.String()
}
