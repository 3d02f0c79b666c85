package backtest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/bakewatch/bakewatch/policy"
)

// moment is a point in time as people write it: RFC 3339, or seconds since the epoch.
type moment string

// UnmarshalText refuses what is neither.
func (m *moment) UnmarshalText(text []byte) error {
	if _, err := parseTime(string(text)); err != nil {
		return err
	}
	*m = moment(text)
	return nil
}

func (m moment) time() time.Time {
	t, _ := parseTime(string(m)) // it was read before; when it is absent it is zero
	return t
}

func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && x >= 0 && x < 253402300800 {
		return time.UnixMicro(int64(x*1e6 + 0.5)).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("must be a time such as 2026-05-01T12:00:00Z, or seconds since the epoch, not %.60q", s)
}

// file is a file of rollouts.
type file struct {
	Rollouts []entry `json:"rollouts"`
}

type entry struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Started   moment `json:"started"`
	Ended     moment `json:"ended"`
	Baseline  pods   `json:"baseline"`
	Candidate pods   `json:"candidate"`
}

type pods struct {
	Pods string `json:"pods"` // a regular expression that matches the whole name
}

// ReadFile reads a file of rollouts. It is as strict as a configuration, and its error is a policy.Errors.
func ReadFile(name string, data []byte) ([]Rollout, error) {
	var f file
	line, err := policy.Strict(name, data, &f)
	if err != nil {
		return nil, err
	}
	var errs policy.Errors
	wrong := func(path, format string, args ...any) {
		errs = append(errs, policy.Error{File: name, Line: line(path), Path: path, Message: fmt.Sprintf(format, args...)})
	}
	pattern := func(path, text string) *regexp.Regexp {
		if text == "" {
			return nil
		}
		re, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			wrong(path, "must be a regular expression: %v", err)
			return nil
		}
		return re
	}
	var out []Rollout
	for i, e := range f.Rollouts {
		at := fmt.Sprintf("rollouts[%d]", i)
		for key, v := range map[string]string{"namespace": e.Namespace, "name": e.Name, "started": string(e.Started)} {
			if v == "" {
				wrong(at, "%s is missing", key)
			}
		}
		r := Rollout{Kind: cmp.Or(e.Kind, "Deployment"), Namespace: e.Namespace, Name: e.Name, Started: e.Started.time(), Ended: e.Ended.time(),
			CalledTo: "the new version", CalledFrom: "the old version", ByPattern: true, EndGiven: e.Ended != "",
			Candidate: pattern(at+".candidate.pods", e.Candidate.Pods), Baseline: pattern(at+".baseline.pods", e.Baseline.Pods)}
		if !r.Ended.IsZero() && !r.Ended.After(r.Started) {
			wrong(at+".ended", "must be after started")
		}
		if e.Baseline.Pods != "" && e.Baseline.Pods == e.Candidate.Pods {
			wrong(at+".baseline.pods", "must not be the same as candidate.pods")
		}
		out = append(out, r)
	}
	if len(f.Rollouts) == 0 {
		wrong("", "names no rollout; write rollouts: [{namespace: …, name: …, started: …, candidate: {pods: …}}]")
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b policy.Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
		})
		return nil, errs
	}
	return out, nil
}
