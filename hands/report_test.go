package hands

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// migrated is the record of a rollout that was held, because it had migrated the database.
func migrated() *v1alpha1.Bake {
	b := undone()
	b.Name = "deployment-web-1f-3"
	b.Spec.From.Number, b.Spec.To = 1, v1alpha1.Revision{Number: 3, Images: []string{"web:v3"}}
	b.Spec.Changes = []string{"image of app: web:v1 → web:v3", "env app DATABASE_POOL added", "resources of app changed", "volumes changed"}
	st := &b.Status
	st.Outcome, st.Rollback, st.Warnings = v1alpha1.OutcomeHeld, nil, nil
	st.Migrations = []v1alpha1.Migration{
		{Tool: "rails", Name: "20260301 AddNote", Pod: "web-557-x", Container: "migrate", At: *at(5), Schema: "yes", ToldBy: "log"},
		{Tool: "rails", Name: "20260302 DropPrice", Pod: "web-557-x", Container: "migrate", At: *at(6), Schema: "yes", Data: "yes", Removes: "remove_column", ToldBy: "log"},
		{Tool: "django", Name: "shop.0042_remove_cart", Pod: "web-557-x", Container: "app", At: *at(7), Schema: "yes", Removes: "remove", ToldBy: "name"},
		{Tool: "flyway", Name: "2 - tidy up", Pod: "web-557-x", Container: "app", At: *at(8)},
	}
	st.Reasons = append(st.Reasons, v1alpha1.Reason{Code: "migrations", Sentence: "held: rev 3 migrated the database (rails 20260301 AddNote, …), and rev 1 may not run on it"})
	st.Announced = []v1alpha1.Receipt{{Receiver: "slack", Stage: "ended", At: *at(95)}, {Receiver: "github", Stage: "ended", ID: "12", At: *at(96)}}
	st.Courses[0].Lines = st.Courses[0].Lines[:3]
	st.EndedAt = at(92)
	return b
}

// starved is the record of a first rollout whose pods are killed for want of memory: nothing to go back to.
func starved() *v1alpha1.Bake {
	b := undone()
	b.Name = "deployment-web-1f-1"
	b.Spec.From, b.Spec.To, b.Spec.Changes, b.Spec.Revisions = nil, v1alpha1.Revision{Number: 1, Images: []string{"web:v1"}}, nil, "- → 1"
	why := "oom-killed: no pod of rev 1 can run: container app of web-557-x and of 2 more was OOMKilled, ended 3 times; its memory limit is 64Mi"
	b.Status = v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomeHeld, Why: why, EndedAt: at(63),
		Reasons:   []v1alpha1.Reason{{Code: "oom-killed", Sentence: why}, {Code: "no-good-revision", Sentence: "held: deployment/web has no known good revision to go back to"}},
		Blind:     []v1alpha1.BlindSource{{Source: "prometheus", Since: *at(0), Why: "connection refused"}},
		Evidence:  []v1alpha1.PodEvidence{{Name: "web-557-x", Node: "node-1", State: "OOMKilled, container app, exit code 137", Restarts: 3, Container: "app", Lines: []string{"loading everything"}}},
		ScaleDown: &v1alpha1.ScaleDown{IntendedAt: *at(60), From: 3, To: 1, DoneAt: at(61)},
	}
	return b
}

// paused is a rollback of what Argo CD keeps, which was told to leave it alone, after a pause part-way.
func paused() *v1alpha1.Bake {
	b := undone()
	b.Name = "deployment-web-1f-4"
	st := &b.Status
	st.Migrations = nil
	st.Pauses = []v1alpha1.Pause{{Why: "canary", Sentence: "at 1 of 4 pods, for 5m", IntendedAt: *at(31), PausedAt: at(32), EndsAt: at(90), Ended: "it is rolled back", ReleasedAt: at(91)}}
	st.Rollback.Suspension = &v1alpha1.Suspension{Kind: "Application", Namespace: "argocd", Name: "shop", IntendedAt: *at(90), DoneAt: at(91), Of: "automated sync of application argocd/shop is off"}
	return b
}

func passed() *v1alpha1.Bake {
	b := undone()
	st := b.Status
	b.Status = v1alpha1.BakeStatus{Outcome: v1alpha1.OutcomePassed, Why: "http-errors: 0.1% of 9,000 requests failed on rev 2 against 0.1% on rev 1", FirstReadyAt: at(30), CompletedAt: at(50), EndedAt: at(950),
		Signals: st.Signals, Courses: []v1alpha1.Course{{Signal: "http-errors", Unit: "%", What: "requests that failed", Limit: "5", Lines: []v1alpha1.CourseLine{course("service", 30, 300, "0.1,0,0.1")}}}}
	return b
}

// TestReport: the reports of some bakes are those in testdata.
func TestReport(t *testing.T) {
	for name, b := range map[string]*v1alpha1.Bake{"rolled-back": undone(), "held": migrated(), "scaled-down": starved(), "suspended": paused(), "passed": passed(), "seen": bakeOf("Deployment", "web", 2, 0, "")} {
		for ext, write := range map[string]func(io.Writer, *v1alpha1.Bake) error{".md": WriteReport, ".html": WritePage} {
			t.Run(name+ext, func(t *testing.T) {
				var out strings.Builder
				if err := write(&out, b); err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join("testdata", "report", name+ext)
				if *update {
					if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), out.String()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// hostile is text as nobody friendly would write it.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "'-alert(1)-'", "</style><style>*{display:none}", "</title><h1>x", "<!-- bakewatch: bake a/b of Deployment/a/b -->",
		"javascript:alert(1)", "]]>", "&lt;script&gt;", "```\n# x", "| a | b |", "[x](https://evil.example)", "![x](https://evil.example/p.png)", "@everyone #1", "\u202egnp", "a\nb\r\nc", "\x00\x1b[31m",
		"https://evil.example/", "{{.Title}}", "</svg><svg onload=alert(1)>",
	}))
}

// sick is a record in which everything that others write is hostile.
func sick(t *rapid.T) *v1alpha1.Bake {
	x := func() string { return hostile().Draw(t, "text") }
	b := rapid.SampledFrom([]func() *v1alpha1.Bake{undone, migrated, starved, paused}).Draw(t, "bake")().DeepCopy()
	b.Namespace, b.Name, b.Spec.Ref, b.Spec.ChangedBy = x(), x(), x(), x()
	b.Spec.Changes = append(b.Spec.Changes, x(), "env "+x(), "image of "+x())
	b.Spec.To.Images = []string{x()}
	if b.Spec.From != nil {
		b.Spec.From.Images = []string{x()}
	}
	st := &b.Status
	for i := range st.Pauses {
		st.Pauses[i].Sentence, st.Pauses[i].Ended = x(), x()
	}
	if rb := st.Rollback; rb != nil && rb.Suspension != nil {
		rb.Suspension.Of, rb.Suspension.Name = x(), x()
	}
	st.Why = x()
	for i := range st.Reasons {
		st.Reasons[i].Sentence = x()
	}
	for i := range st.Migrations {
		st.Migrations[i].Tool, st.Migrations[i].Name, st.Migrations[i].Pod, st.Migrations[i].Container, st.Migrations[i].Removes = x(), x(), x(), x(), x()
	}
	for i := range st.Evidence {
		st.Evidence[i] = v1alpha1.PodEvidence{Name: x(), Node: x(), State: x(), Container: x(), Events: []string{x()}, Lines: []string{x(), x()}}
	}
	for i := range st.Courses {
		st.Courses[i].Signal, st.Courses[i].Unit, st.Courses[i].What, st.Courses[i].Limit, st.Courses[i].Source = x(), x(), x(), rapid.SampledFrom([]string{"", "1", x()}).Draw(t, "limit"), x()
		st.Courses[i].Lines[0].Values = rapid.SampledFrom([]string{x(), "1,NaN,Inf,-1,1e309", "1,2"}).Draw(t, "values")
	}
	for i := range st.Announced {
		st.Announced[i].Receiver, st.Announced[i].ID = x(), x()
	}
	st.Signals = []v1alpha1.SignalSummary{{Name: x(), Candidate: x(), Baseline: "1 / 0", History: x()}}
	st.Warnings = []v1alpha1.Reason{{Code: "c", Sentence: x()}}
	st.Blind = []v1alpha1.BlindSource{{Source: x(), Why: x()}}
	return b
}

// elements are all that a page is made of, with their attributes.
var elements = map[string][]string{
	"html": {"lang"}, "head": {}, "meta": {"charset", "name", "content"}, "title": {"id"}, "style": {}, "body": {}, "main": {}, "p": {"class"}, "h1": {}, "h2": {}, "h3": {}, "span": {"class", "aria-hidden"},
	"dl": {"class"}, "dt": {}, "dd": {}, "div": {"class"}, "ul": {"class"}, "ol": {}, "li": {"class"}, "code": {"class"}, "strong": {}, "pre": {}, "br": {}, "section": {"class"},
	"table": {}, "thead": {}, "tbody": {}, "tr": {"class"}, "th": {"scope"}, "td": {"class"}, "figure": {},
	"svg": {"viewBox", "role", "aria-labelledby", "aria-hidden"}, "desc": {"id"}, "line": {"class", "x1", "x2", "y1", "y2"}, "text": {"class", "x", "y", "dy", "text-anchor"},
	"polyline": {"class", "points"}, "circle": {"class", "cx", "cy", "r"},
}

// TestPageIsOnlyItsOwn: whatever names and log lines say, a page has no element, no attribute and no style but its own, asks for
// nothing and is closed as it was opened.
func TestPageIsOnlyItsOwn(t *testing.T) {
	style := pageText[strings.Index(pageText, "<style>"):strings.Index(pageText, "</style>")]
	rapid.Check(t, func(t *rapid.T) {
		var out strings.Builder
		if err := WritePage(&out, sick(t)); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if !strings.Contains(text, style) || strings.Count(text, "<style") != 1 {
			t.Fatal("the style is another")
		}
		d := xml.NewDecoder(strings.NewReader(strings.Map(func(r rune) rune {
			if r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r != '\ufffe' && r != '\uffff' {
				return r
			}
			return ' ' // XML has no such characters; HTML does
		}, text)))
		d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "br"}, xml.HTMLEntity
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			e, ok := token.(xml.StartElement)
			if _, comment := token.(xml.Comment); comment {
				t.Fatal("it has a comment")
			}
			if !ok {
				continue
			}
			allowed, known := elements[e.Name.Local]
			if !known {
				t.Fatalf("<%s>", e.Name.Local)
			}
			for _, a := range e.Attr {
				if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+a.Name.Local+" ") {
					t.Fatalf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
				if x, err := strconv.ParseFloat(a.Value, 64); strings.Contains("x y x1 x2 y1 y2 cx cy", a.Name.Local) && (err != nil || x < -1 || x > 700) {
					t.Fatalf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	})
}

// TestMarkdownIsOnlyItsOwn: whatever names and log lines say, in the text of an issue nobody is mentioned, nothing is linked, no
// HTML begins and no other issue is meant, and it is no longer than it may be.
func TestMarkdownIsOnlyItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{60_000, 900, 10}).Draw(t, "most")
		text := Issue(sick(t), most)
		if n := utf8.RuneCountInString(text); n > most {
			t.Fatalf("%d characters", n)
		}
		if strings.Contains(text, "<!--") {
			t.Fatalf("it has a mark that others are found by:\n%s", text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "    ") {
				continue // a block of code
			}
			for _, bad := range []string{"<", "@e", "://", "](", "```"} {
				if strings.Contains(strings.ReplaceAll(line, `\]`, ""), bad) {
					t.Fatalf("%q in %q", bad, line)
				}
			}
			if strings.HasPrefix(line, "|") && !strings.HasSuffix(line, "|\n") {
				t.Fatalf("a row ends early: %q", line)
			}
		}
	})
}

// TestIssue: the text of an issue does not ask for an issue, and what is too long is cut with a word about it.
func TestIssue(t *testing.T) {
	b := undone()
	if text := Issue(b, 60_000); !strings.Contains(text, "- [x] Open an issue: this one") || strings.Contains(text, "none is on record") {
		t.Error(text)
	}
	for range 2000 {
		b.Spec.Changes = append(b.Spec.Changes, strings.Repeat("é", 60))
	}
	text := Issue(b, 60_000)
	if n := utf8.RuneCountInString(text); n > 60_000 || n < 59_000 || !strings.HasSuffix(text, "The Bake shop/deployment-web-1f-2 has the rest.\n") {
		t.Errorf("%d characters, %q", n, text[len(text)-100:])
	}
}

// TestScale: the levels of a chart are few, begin at 0 and reach its top.
func TestScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := rapid.Float64Range(1e-9, 1e15).Draw(t, "top")
		levels := scale(top)
		if n := len(levels); n < 2 || n > 6 || levels[0] != 0 || levels[n-1] < top*(1-1e-6) || levels[n-1] > 4*top {
			t.Fatalf("%g: %v", top, levels)
		}
	})
}

func TestTook(t *testing.T) {
	for seconds, want := range map[int]string{0: "0s", 5: "5s", 60: "1m", 90: "1m30s", 600: "10m", 3600: "1h", 3660: "1h1m", 3605: "1h0m5s", 36000: "10h", 7200 + 600: "2h10m"} {
		if got := took(at(seconds).Sub(at(0).Time)); got != want {
			t.Errorf("%d seconds: %s, want %s", seconds, got, want)
		}
	}
}

// TestMarks: the names of moments never stand on one another, however near the moments are.
func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := paused()
		b.Status.Rollback.IntendedAt, b.Status.Rollback.AvailableAt = *at(rapid.IntRange(0, 300).Draw(t, "decided")), at(rapid.IntRange(0, 300).Draw(t, "back"))
		b.Status.Pauses[0].PausedAt = at(rapid.IntRange(0, 300).Draw(t, "paused"))
		first, last := began, at(300).Time
		x := func(when time.Time) float64 {
			return chartLeft + (chartRight-chartLeft)*float64(when.Sub(first))/float64(last.Sub(first))
		}
		type place struct{ from, to float64 }
		rows := map[string][]place{}
		for _, m := range marks(b, first, last, x) {
			if m.Text == "" {
				continue
			}
			from, err := strconv.ParseFloat(m.TextX, 64)
			if err != nil {
				t.Fatal(err)
			}
			width := charWidth * float64(len(m.Text))
			if m.Anchor == "end" {
				from -= width
			}
			for _, other := range rows[m.TextY] {
				if from < other.to-0.2 && other.from < from+width-0.2 {
					t.Fatalf("%q at %g stands on another: %+v", m.Text, from, other)
				}
			}
			rows[m.TextY] = append(rows[m.TextY], place{from, from + width})
		}
	})
}
