package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/backtest"
	"github.com/bakewatch/bakewatch/decide"
)

// again runs one of the program's other commands, and returns the lines it printed.
func (s *stage) again(stdin []byte, args ...string) []string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bakewatchBinary, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("bakewatch %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestJudgedAgain: what the daemon recorded, and what Prometheus remembers, come to the verdicts that were given live.
func TestJudgedAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	began := time.Now()
	s.running(good("web", "a"))
	d := s.daemon(rules{})
	config := filepath.Join(t.TempDir(), "bakewatch.yaml")
	if err := os.WriteFile(config, []byte(rules{}.yaml(s.cluster)), 0o600); err != nil {
		t.Fatal(err)
	}

	s.deploy(good("web", "b"))
	fine := s.passed("web", 1, 2)
	s.deploy(bad("web", "c"))
	undone := s.rolledBack("web", 2, 3, "b", 2, "threshold")

	for _, b := range []v1alpha1.Bake{fine, undone} {
		readings, err := os.ReadFile(filepath.Join(d.readings, b.Namespace+"_"+b.Name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		lines := s.again(readings, "judge", "--config", config)
		if n := bytes.Count(readings, []byte("\n")); len(lines) != n {
			t.Errorf("%d verdicts on %d lines of readings", len(lines), n)
		}
		s.sameVerdict(b, lines[len(lines)-1])
	}

	rollouts := filepath.Join(t.TempDir(), "rollouts.yaml")
	entry := "- {namespace: %s, name: web, started: %q, %sbaseline: {pods: '%s-.*'}, candidate: {pods: '%s-.*'}}\n"
	text := "rollouts:\n"
	for b, ended := range map[*v1alpha1.Bake]string{&fine: fmt.Sprintf("ended: %q, ", fine.Status.EndedAt.UTC().Format(time.RFC3339Nano)), &undone: ""} {
		text += fmt.Sprintf(entry, b.Namespace, b.Spec.StartedAt.UTC().Format(time.RFC3339Nano), ended, b.Spec.From.Name, b.Spec.To.Name)
	}
	if err := os.WriteFile(rollouts, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	since := fmt.Sprintf("%.0fs", time.Since(began).Seconds()+1)
	for from, flags := range map[string][]string{
		"a file":      {"--rollouts", rollouts},
		"the cluster": {"--kubeconfig", s.Kubeconfig, "--since", since},
	} {
		args := append([]string{"backtest", "--prometheus", s.Prometheus, "--config", config, "-o", "json", "--namespace", s.namespace}, flags...)
		var rows []backtest.Row
		for _, line := range s.again(nil, args...) {
			var row backtest.Row
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatalf("rollouts from %s: %q: %v", from, line, err)
			}
			rows = append(rows, row)
		}
		if len(rows) != 2 || rows[0].Outcome != "Passed" || rows[1].Outcome != "RolledBack" {
			t.Errorf("rollouts from %s end as %+v, want one Passed and one RolledBack", from, rows)
			continue
		}
		if row := rows[1]; row.Evidence < 6.9 || row.Signals[0].Reasons[0].Code != decide.CodeThreshold || row.Failed == 0 {
			t.Errorf("rollouts from %s: it does not say why: %+v", from, row)
		}
	}
}

// sameVerdict checks that a line holds the very verdict a bake ended with.
func (s *stage) sameVerdict(b v1alpha1.Bake, line string) {
	s.t.Helper()
	var v decide.Verdict
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		s.t.Fatalf("%q: %v", line, err)
	}
	want := decide.Healthy
	if b.Status.Outcome == v1alpha1.OutcomeRolledBack {
		want = decide.Regressed
	}
	if v.Result != want {
		s.t.Errorf("%s: judged again it is %s, want %s: %s", b.Name, v.Result, want, line)
	}
	var reasons []v1alpha1.Reason
	for _, r := range v.Reasons {
		reasons = append(reasons, v1alpha1.Reason{Code: r.Code, Signal: r.Signal, Sentence: r.Sentence})
	}
	if diff := cmp.Diff(b.Status.Reasons, reasons); diff != "" {
		s.t.Errorf("%s: judged again it has other reasons (-live +again):\n%s", b.Name, diff)
	}
}
