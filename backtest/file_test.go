package backtest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/policy"
)

func TestReadFile(t *testing.T) {
	got, err := ReadFile("rollouts.yaml", []byte(`
rollouts:
- {namespace: shop, kind: Deployment, name: web, started: 2026-05-01T12:00:00+02:00, ended: 1777631400.5, baseline: {pods: 'web-6-.*'}, candidate: {pods: web-7-a|web-7-b}}
- {namespace: shop, name: web, started: 1777640000}
`))
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	r := got[0]
	if !r.Started.Equal(time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)) || !r.Ended.Equal(time.UnixMilli(1777631400500)) || r.Kind != "Deployment" || got[1].Kind != "Deployment" {
		t.Errorf("%+v", r)
	}
	if !r.Candidate.MatchString("web-7-a") || r.Candidate.MatchString("web-7-ab") || !r.Baseline.MatchString("web-6-x") || r.Baseline.MatchString("my-web-6-x") {
		t.Error("patterns match the whole name, or do not")
	}
	if shown(r.Candidate) != "web-7-a|web-7-b" {
		t.Errorf("shown as %s", shown(r.Candidate))
	}
	if !got[1].Ended.IsZero() || got[1].Candidate != nil {
		t.Errorf("%+v", got[1])
	}
}

func TestReadFileRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "f:1: is empty",
		"rollouts: []":                 "f:1: names no rollout; write rollouts: [{namespace: …, name: …, started: …, candidate: {pods: …}}]",
		"rolouts: []":                  `f:1: rolouts: unknown key; did you mean "rollouts"? (known: rollouts)`,
		"rollouts:\n- {started: soon}": `f:2: rollouts[0].started: must be a time such as 2026-05-01T12:00:00Z, or seconds since the epoch, not "soon"`,
		"rollouts:\n- {name: web}":     "f:2: rollouts[0]: namespace is missing\nf:2: rollouts[0]: started is missing",
		"rollouts:\n- {namespace: a, name: b, started: 5, ended: 4}":                                            "f:2: rollouts[0].ended: must be after started",
		"rollouts:\n- {namespace: a, name: b, started: 5,\n   candidate: {pods: '('}}":                          "f:3: rollouts[0].candidate.pods: must be a regular expression: error parsing regexp: missing closing ): `^(?:()$`",
		"rollouts:\n- {namespace: a, name: b, started: 5, candidate: {pods: x}, baseline: {pods: x}}":           "f:2: rollouts[0].baseline.pods: must not be the same as candidate.pods",
		"rollouts:\n- {namespace: a, name: b, started: 5, candidate: {pod: x}}":                                 "f:2: rollouts[0].candidate.pod: unknown key; did you mean \"pods\"? (known: pods)",
		"rollouts:\n- {namespace: a, name: b, started: {at: 5}}":                                                "f:2: rollouts[0].started: must be a single value, not a map",
		"rollouts: [{namespace: a, name: b, started: 5, ended: -1}]":                                            `f:1: rollouts[0].ended: must be a time such as 2026-05-01T12:00:00Z, or seconds since the epoch, not "-1"`,
		"rollouts: [{namespace: a, name: b, started: 99999999999999}]":                                          `f:1: rollouts[0].started: must be a time such as 2026-05-01T12:00:00Z, or seconds since the epoch, not "99999999999999"`,
		"rollouts: [{namespace: a, name: b, started: 5}]\n---\nrollouts: [{namespace: a, name: b, started: 5}]": "f:2: only one YAML document is read; remove what follows the ---",
	} {
		_, err := ReadFile("f", []byte(text))
		var errs policy.Errors
		if !errors.As(err, &errs) || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// FuzzReadFile: whatever is in the file, it is rollouts with a beginning, or errors with a line.
func FuzzReadFile(f *testing.F) {
	f.Add([]byte("rollouts: [{namespace: shop, name: web, started: 1777631400.5, baseline: {pods: 'web-6-.*'}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadFile("f", data)
		var errs policy.Errors
		switch {
		case err == nil:
			for _, r := range got {
				if r.Started.IsZero() || r.Name == "" || r.Namespace == "" {
					t.Fatalf("%+v", r)
				}
			}
		case !errors.As(err, &errs) || len(errs) == 0 || errs[0].Line < 1 || strings.Contains(errs[0].Error(), "\n"):
			t.Fatalf("%#v", err)
		}
	})
}
