package promql

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBound(t *testing.T) {
	for _, c := range []struct {
		x         float64
		yes, none string
	}{
		{0.25, "0.25 0.250 0.250000", "0.251 0.2 0.025 10.25 0,25 0x25"},
		{1, "1 1.0 1.000", "10 0.1 1.01 11 1e0"},
		{10, "10 10.0", "1 100 1e1"},
		{2.5, "2.5 2.50", "2 25 2.55"},
		{1e6, "1000000 1000000.0 1e+06 1e6 1.0E6", "100000 1e+07 1e+60 10000000"},
		{1.5e7, "15000000 1.5e+07 1.5E7 1.50e07", "1500000 1.5e+70"},
		{5e-5, "0.00005 5e-05 5.0E-5", "0.0005 5e-04 5e-50 5e+05"},
		{0.001048576, "0.001048576", "0.00104857"},
	} {
		m, err := ParseSelector(`h_bucket{le=~"` + strings.ReplaceAll(bound(c.x), `\`, `\\`) + `"}`)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Fields(c.yes) {
			if !m.Matchers[0].Matches(text) {
				t.Errorf("%g: %s is not its bound", c.x, text)
			}
		}
		for _, text := range strings.Fields(c.none) {
			if m.Matchers[0].Matches(text) {
				t.Errorf("%g: %s is taken for its bound", c.x, text)
			}
		}
	}
}

func TestBucket(t *testing.T) {
	for _, c := range []struct {
		query, requests, within, err string
		classic                      bool
	}{
		{`h_bucket`, `h_count`, `h_bucket{le=~"1(\\.0*)?"}`, "", true},
		{`(h_bucket{a="b"})`, `h_count{a="b"}`, `h_bucket{a="b",le=~"1(\\.0*)?"}`, "", true},
		{`h{a="b"}`, "", "", "", false},
		{`{__name__="h_bucket"}`, "", "", "", false},
		{`sum(h_bucket)`, "", "", "not a plain selector", false},
		{`h_bucket offset 5m`, "", "", "not a plain selector", false},
		{`h_bucket @ 5`, "", "", "not a plain selector", false},
		{`h_bucket{`, "", "", "is not PromQL", false},
	} {
		requests, within, classic, err := Bucket(c.query, 1)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", c.query, err, c.err)
		case c.err == "" && (err != nil || requests != c.requests || within != c.within || classic != c.classic):
			t.Errorf("%s: %q %q %v %v", c.query, requests, within, classic, err)
		}
	}
}

// A selector that is written out reads back as itself, whatever its values.
func TestSelectorsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("ab.|$\\\"'`{}()é\n")))
		s := Selector{Name: "m"}
		for range rapid.IntRange(0, 3).Draw(t, "matchers") {
			s.Matchers = append(s.Matchers, OneOf(rapid.SampledFrom([]string{"namespace", "pod"}).Draw(t, "label"), rapid.SliceOfN(text, 1, 3).Draw(t, "values")...))
		}
		back, err := ParseSelector(s.String())
		if err != nil || back.String() != s.String() {
			t.Fatalf("%s: %s %v", s, back, err)
		}
	})
}

// Whatever people write, it is taken or refused.
func FuzzParse(f *testing.F) {
	f.Add(`sum by (pod) (rate(h_bucket{namespace="shop"}[5m])) / on (pod) x offset 5m`)
	f.Add(`{__name__=~"a|b"}`)
	f.Fuzz(func(t *testing.T, query string) {
		if s, err := ParseSelector(query); err == nil {
			if _, err := ParseSelector(s.String()); err != nil {
				t.Errorf("%q became %q: %v", query, s, err)
			}
		}
		if _, _, classic, err := Bucket(query, 0.25); classic && err != nil {
			t.Error(err)
		}
		if _, err := Selectors(query); err != nil && err.Error() == "" {
			t.Error("refused without a word")
		}
	})
}
