// Package wording writes stories by templates of Go's text/template, which are checked before they are used.
package wording

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
)

const maxOutput = 64 << 10 // bytes a template may write

var errTooMuch = fmt.Errorf("it writes more than %d bytes", maxOutput)

// Template words stories.
type Template struct{ parsed *template.Template }

// view is what a template sees.
type view struct {
	announce.Story
	Others []string // the reasons other than Why
}

var functions = template.FuncMap{
	"join": func(separator string, list []string) string { return strings.Join(list, separator) },
	"clip": func(limit int, text string) string { return announce.Clip(text, max(limit, 1)) },
}

// Parse reads a template and tries it on stories of every kind. Its error is one line that says where and what is wrong.
func Parse(text string) (*Template, error) {
	parsed, err := template.New("line").Funcs(functions).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, explain(err)
	}
	for _, t := range parsed.Templates() {
		if t.Tree != nil {
			if err := checkLoops(t.Tree.Root, false); err != nil {
				return nil, err
			}
		}
	}
	t := &Template{parsed}
	for _, s := range Samples() {
		if _, err := t.write(s, nil); err != nil {
			return nil, fmt.Errorf("with a story of stage %s: %w", s.Stage, err)
		}
		s.Labels, s.Changes, s.Reasons, s.Measured, s.Pods, s.Links, s.Why, s.From, s.Recovery, s.ChangedBy, s.Version, s.ImageTag = nil, nil, nil, nil, nil, nil, "", "", "", "", "", ""
		if _, err := t.write(s, nil); err != nil {
			return nil, fmt.Errorf("with a story that has no reasons, changes or earlier revision: %w", err)
		}
	}
	return t, nil
}

// ParseTitle is Parse of a template that must write something of every story.
func ParseTitle(text string) (*Template, error) {
	t, err := Parse(text)
	if err != nil {
		return nil, err
	}
	for _, s := range Samples() {
		if said, _ := t.write(s, nil); said == "" {
			return nil, fmt.Errorf("with a story of stage %s it writes nothing; have it write at least {{.Headline}}", s.Stage)
		}
	}
	return t, nil
}

// Must is Parse of a template that is known to be good.
func Must(text string) *Template {
	t, err := Parse(text)
	if err != nil {
		panic("wording: " + err.Error())
	}
	return t
}

// Write words a story. escape makes a text of the story safe for where it goes, and is not applied to the template's own
// text; nil leaves it as it is. White space around what is written is cut off, and so is what is too much.
func (t *Template) Write(s announce.Story, escape func(string) string) (string, error) {
	said, err := t.write(s, escape)
	if errors.Is(err, errTooMuch) {
		return said + "…", nil
	}
	return said, err
}

func (t *Template) write(s announce.Story, escape func(string) string) (string, error) {
	var out bounded
	err := t.parsed.Execute(&out, escaped(s, escape))
	said := strings.TrimSpace(out.String())
	switch {
	case errors.Is(err, errTooMuch):
		return said, errTooMuch
	case err != nil:
		return "", explain(err)
	}
	return said, nil
}

// escaped is the story with all its texts on one line and escaped.
func escaped(s announce.Story, escape func(string) string) view {
	safe := func(text string) string {
		text = announce.OneLine(text)
		if escape != nil {
			text = escape(text)
		}
		return text
	}
	all := func(list []string) (out []string) {
		for _, text := range list {
			out = append(out, safe(text))
		}
		return out
	}
	for _, text := range []*string{&s.Bake, &s.Namespace, &s.Kind, &s.Workload, &s.Headline, &s.Why, &s.Recovery, &s.From, &s.To, &s.Version, &s.ImageTag, &s.ChangedBy} {
		*text = safe(*text)
	}
	s.Reasons, s.Changes = all(s.Reasons), all(s.Changes)
	s.Measured = slices.Clone(s.Measured)
	for i, m := range s.Measured {
		s.Measured[i] = announce.Measure{Signal: safe(m.Signal), Candidate: safe(m.Candidate), Baseline: safe(m.Baseline), History: safe(m.History)}
	}
	labels := make(map[string]string, len(s.Labels))
	for name, value := range s.Labels {
		labels[name] = safe(value)
	}
	s.Labels = labels
	s.Pods = slices.Clone(s.Pods)
	for i, p := range s.Pods {
		s.Pods[i] = announce.Pod{Name: safe(p.Name), State: safe(p.State), Restarts: p.Restarts, Events: all(p.Events), Lines: all(p.Lines)}
	}
	s.Links = slices.Clone(s.Links)
	for i, l := range s.Links {
		s.Links[i] = announce.Link{Title: safe(l.Title), URL: announce.OneLine(l.URL)} // an address is escaped already
	}
	s.Earlier = nil
	return view{s, slices.DeleteFunc(slices.Clone(s.Reasons), func(reason string) bool { return reason == s.Why })}
}

// Samples are stories of two bakes that never were, one of each kind, in the order in which they would be told: one is
// rolled back, and the next passes. Their bakes are others each second.
func Samples() []announce.Story {
	at := time.Now().Add(-5 * time.Minute).UTC()
	bake := fmt.Sprintf("announce-test/deployment-sample-%x-", at.Unix())
	started := announce.Story{
		Bake: bake + "7", Namespace: "announce-test", Kind: "Deployment", Workload: "sample", UID: "0",
		Labels: map[string]string{"app": "sample"}, Stage: announce.Started, Severity: announce.Info,
		Headline: "[test] announce-test deployment/sample: watching the rollout of rev 7 over rev 6",
		From:     "rev 6 (sample-5d9f, app:v1)", To: "rev 7 (sample-84bc, app:v2)",
		Version: "v2", ImageTag: "v2",
		Changes: []string{"image app:v1 → app:v2", "env LIMIT changed"}, ChangedBy: "announce-test",
		StartedAt: at,
	}
	suspicion := started
	suspicion.Stage = announce.Suspicion
	suspicion.Headline = "[test] announce-test deployment/sample: rev 7 looks worse, and it is not yet sure"
	suspicion.Why = "http-errors: 3.1% of 320 requests failed on rev 7 (2 pods) against 0.3% of 9,870 on rev 6; the chance of a false alarm is 1 in 240, 1 in 1,000 is needed; this is a test, nothing happened"
	suspicion.Reasons = []string{suspicion.Why}
	deciding := started
	deciding.Stage, deciding.Severity, deciding.Decided = announce.Deciding, announce.Critical, true
	deciding.Headline = "[test] announce-test deployment/sample: rolling back from rev 7 to rev 6"
	deciding.Why = "http-errors: 8.1% of 1,240 requests failed on rev 7 (2 pods) against 0.3% of 9,870 on rev 6; this is a test, nothing happened"
	deciding.Reasons = []string{deciding.Why, "evidence: chance of a false alarm under 1 in 1,000"}
	deciding.Measured = []announce.Measure{{Signal: "http-errors", Candidate: "100 / 1240", Baseline: "30 / 9870", History: "41 / 14000"}}
	deciding.Pods = []announce.Pod{{Name: "sample-84bc-x2x7k", State: "not ready: readiness probe fails", Restarts: 1, Events: []string{"Unhealthy: readiness probe failed: 500"}, Lines: []string{"error: this is a test"}}}
	ended := deciding
	ended.Stage, ended.Outcome, ended.Recovered = announce.Ended, "RolledBack", "Yes"
	ended.Headline = "[test] announce-test deployment/sample: rolled back from rev 7 to rev 6, recovered"
	ended.Recovery = "recovered: http-errors back at 0.3%"
	ended.EndedAt = at.Add(2 * time.Minute)
	resolved := ended
	resolved.Stage = announce.Resolved
	passed := started
	passed.Bake, passed.To, passed.Stage, passed.Outcome = bake+"8", "rev 8 (sample-7c1b, app:v3)", announce.Ended, "Passed"
	passed.Headline = "[test] announce-test deployment/sample: rev 8 passed"
	passed.Why = "http-errors: 0.2% of 1,310 requests failed on rev 8 (2 pods) against 0.3% of 9,870 on rev 6"
	passed.Reasons = []string{passed.Why}
	passed.StartedAt, passed.EndedAt = at.Add(4*time.Minute), time.Now().UTC().Add(time.Minute) // after GitHub's own time of what it closes
	return []announce.Story{started, suspicion, deciding, ended, resolved, passed}
}

// checkLoops allows range over lists of the story only: anything else may go on for ever. list says that the dot is one.
func checkLoops(nodes *parse.ListNode, list bool) error {
	if nodes == nil {
		return nil
	}
	for _, node := range nodes.Nodes {
		var branch *parse.BranchNode
		inside := list
		switch n := node.(type) {
		case *parse.RangeNode:
			branch, inside = &n.BranchNode, false
			if overDot := list && n.Pipe.String() == "."; !overDot && !overField(n.Pipe) {
				return fmt.Errorf("line %d: range over %s: it may only go over a list of the story, such as .Reasons, .Others, .Changes, .Measured, .Links or .Pods", n.Line, n.Pipe)
			}
		case *parse.IfNode:
			branch = &n.BranchNode
		case *parse.WithNode:
			branch, inside = &n.BranchNode, overField(n.Pipe)
		default:
			continue
		}
		if err := cmp.Or(checkLoops(branch.List, inside), checkLoops(branch.ElseList, list)); err != nil {
			return err
		}
	}
	return nil
}

func overField(pipe *parse.PipeNode) bool {
	if len(pipe.Cmds) != 1 || len(pipe.Cmds[0].Args) != 1 {
		return false
	}
	switch over := pipe.Cmds[0].Args[0].(type) {
	case *parse.FieldNode:
		return true
	case *parse.VariableNode: // $.Reasons, not $n
		return len(over.Ident) > 1
	}
	return false
}

// explain words the errors of text/template.
func explain(err error) error {
	if cause, ok := errors.AsType[template.ExecError](err); ok {
		err = cause.Err
	}
	text := strings.TrimPrefix(announce.OneLine(err.Error()), "template: ")
	text = strings.NewReplacer("line:", "line ", `executing "line" at `, "", " in type wording.view", "").Replace(text)
	return errors.New(announce.Clip(text, 300))
}

// bounded is a buffer that does not grow for ever.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		return 0, errTooMuch
	}
	return b.Buffer.Write(p)
}
