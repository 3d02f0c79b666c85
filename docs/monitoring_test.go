package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

const monitoring = "../deploy/monitoring/"

// queried holds an expression to what Prometheus understands, and to metrics that exist.
func queried(t *testing.T, where, expr string) {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h").Replace(expr)
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %s: %v", where, expr, err)
		return
	}
	exist := metrics(t)
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && !exist[strings.TrimSuffix(v.Name, "_bucket")] {
			t.Errorf("%s: no metric of the daemon is called %s", where, v.Name)
		}
		return nil
	})
}

func TestAlertRules(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, monitoring+"rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	operating, tested := read(t, "operating.md"), read(t, monitoring+"rules_test.yaml")
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			queried(t, rule.Alert, rule.Expr)
			if row := "\n| `" + rule.Alert + "` | " + rule.Labels["severity"] + " | "; !strings.Contains(operating, row) {
				t.Errorf("operating.md has no row %q", row)
			}
			if !strings.Contains(tested, "alertname: "+rule.Alert+"\n") {
				t.Errorf("rules_test.yaml does not test %s", rule.Alert)
			}
		}
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) < 5 {
		t.Errorf("found %+v", file)
	}
}

// TestAlertRulesFire runs Prometheus' own tool on the rules' tests.
func TestAlertRulesFire(t *testing.T) {
	server := os.Getenv("BAKEWATCH_PROMETHEUS")
	if server == "" {
		t.Skip("BAKEWATCH_PROMETHEUS names no prometheus binary: promtool is looked for beside it")
	}
	out, err := exec.Command(filepath.Join(filepath.Dir(server), "promtool"), "test", "rules", monitoring+"rules_test.yaml").CombinedOutput()
	if err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

func TestDashboard(t *testing.T) {
	var d struct {
		UID, Title string
		Panels     []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, monitoring+"dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	ids, shown := map[int]bool{}, ""
	for i, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d has no id or title of its own, or asks nothing: %+v", i, p)
		}
		ids[p.ID] = true
		for _, other := range d.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, other.Title)
			}
		}
		for _, target := range p.Targets {
			queried(t, "panel "+p.Title, target.Expr)
			shown += target.Expr + "\n"
		}
	}
	for name := range metrics(t) {
		switch name {
		case "bakewatch_last_tick_timestamp_seconds": // is an alert
		default:
			if !regexp.MustCompile(name + `\b|` + name + `_bucket`).MatchString(shown) {
				t.Errorf("the dashboard does not show %s", name)
			}
		}
	}
}
