// Package docs holds the documentation to the code: what the code can say is explained, and links lead somewhere.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// constants are the values of the string constants in the packages of these folders whose names begin with prefix.
func constants(t *testing.T, prefix string, folders ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != len(spec.Names) {
					return true
				}
				for i, name := range spec.Names {
					value, ok := spec.Values[i].(*ast.BasicLit)
					if ok && value.Kind == token.STRING && strings.HasPrefix(name.Name, prefix) {
						found[name.Name], err = strconv.Unquote(value.Value)
						if err != nil {
							t.Fatal(err)
						}
					}
				}
				return true
			})
		}
	}
	return found
}

// metrics are the names of the daemon's own metrics: string literals of the root module that begin with bakewatch_.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	name := regexp.MustCompile(`"(bakewatch_[a-z_]+)"`)
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == "playground" || base == "testdata" || len(base) > 2 && base[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, m := range name.FindAllStringSubmatch(read(t, path), -1) {
			found[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReasonCodesAreExplained(t *testing.T) {
	deciding := read(t, "deciding.md")
	codes := constants(t, "Code", "decide", "bake")
	if len(codes) < 25 {
		t.Fatalf("only %d reason codes were found: %v", len(codes), codes)
	}
	for name, code := range codes {
		if !strings.Contains(deciding, "\n| `"+code+"` | ") {
			t.Errorf("deciding.md has no row for reason code %s (%s)", code, name)
		}
	}
}

func TestEveryReasonCodeInTheDocsExists(t *testing.T) {
	codes := map[string]bool{}
	for _, code := range constants(t, "Code", "decide", "bake") {
		codes[code] = true
	}
	_, tables, ok := strings.Cut(read(t, "deciding.md"), "\n## Reason codes\n")
	if !ok {
		t.Fatal("deciding.md has no section with reason codes")
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(tables, -1) {
		if !codes[row[1]] {
			t.Errorf("deciding.md explains %s, which no code in decide or bake gives", row[1])
		}
	}
}

// Each guard has a section, and each section a guard.
func TestGuardsAreExplained(t *testing.T) {
	_, table, ok := strings.Cut(read(t, "deciding.md"), "\n### Of the guards")
	if !ok {
		t.Fatal("deciding.md has no table of the guards")
	}
	code := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	guards := map[string]bool{"paused": true} // is among the codes of the bake's life, too
	for _, row := range code.FindAllStringSubmatch(table, -1) {
		guards[row[1]] = true
	}
	if len(guards) < 8 {
		t.Fatalf("only %d guards were found: %v", len(guards), guards)
	}
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile("(?m)^## `([^`]+)`$").FindAllStringSubmatch(read(t, "guards.md"), -1) {
		sections[heading[1]] = true
		if !guards[heading[1]] {
			t.Errorf("guards.md has a section on %s, which is no guard", heading[1])
		}
	}
	for guard := range guards {
		if !sections[guard] {
			t.Errorf("guards.md has no section on %s", guard)
		}
	}
}

func TestOutcomesAndPhasesAreExplained(t *testing.T) {
	deciding, operating := read(t, "deciding.md"), read(t, "operating.md")
	outcomes, phases := constants(t, "Outcome", "api/v1alpha1"), constants(t, "Phase", "api/v1alpha1")
	if len(outcomes) != 6 || len(phases) != 4 {
		t.Fatalf("found %v and %v", outcomes, phases)
	}
	for _, outcome := range outcomes {
		if !strings.Contains(deciding, "\n| `"+outcome+"` | ") {
			t.Errorf("deciding.md has no row for outcome %s", outcome)
		}
	}
	for _, phase := range phases {
		if !strings.Contains(operating, "`"+phase+"`") {
			t.Errorf("operating.md does not name phase %s", phase)
		}
	}
}

func TestAlertsAreExplained(t *testing.T) {
	operating := read(t, "operating.md")
	alerts := constants(t, "Alert", "bake")
	if len(alerts) < 3 {
		t.Fatalf("only %d alerts were found: %v", len(alerts), alerts)
	}
	for _, alert := range alerts {
		if !strings.Contains(operating, "\n| `"+alert+"` | ") {
			t.Errorf("operating.md has no row for alert %s", alert)
		}
	}
}

func TestMetricsAreExplained(t *testing.T) {
	operating := read(t, "operating.md")
	exist := metrics(t)
	if len(exist) < 10 {
		t.Fatalf("only %d metrics were found: %v", len(exist), exist)
	}
	for name := range exist {
		if !strings.Contains(operating, "\n| `"+name+"` | ") {
			t.Errorf("operating.md has no row for metric %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`bakewatch_[a-z_]+`).FindAllString(operating, -1) {
		if !exist[name] {
			t.Errorf("operating.md speaks of %s, which does not exist", name)
		}
	}
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
	return strings.ReplaceAll(kept, " ", "-")
}

func TestLinksLeadSomewhere(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../*.md", "*.md", "adr/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	for _, page := range pages {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(code.ReplaceAllString(read(t, page), ""), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s links to %s, which does not exist", page, m[1])
				continue
			}
			if fragment == "" || info.IsDir() {
				continue
			}
			found := false
			for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, path), -1) {
				found = found || anchor(heading[1]) == fragment
			}
			if !found {
				t.Errorf("%s links to %s, which has no such heading", page, m[1])
			}
		}
	}
}

func TestDecisionsAreListed(t *testing.T) {
	list := read(t, "adr/README.md")
	decisions, err := filepath.Glob("adr/[0-9]*.md")
	if err != nil || len(decisions) < 8 {
		t.Fatalf("%d decisions were found (%v)", len(decisions), err)
	}
	for _, d := range decisions {
		if !strings.Contains(list, "("+filepath.Base(d)+")") {
			t.Errorf("adr/README.md does not list %s", d)
		}
		for _, section := range []string{"\n## Context\n", "\n## Decision\n", "\n## Consequences\n"} {
			if !strings.Contains(read(t, d), section) {
				t.Errorf("%s has no section%s", d, strings.TrimRight(section, "\n"))
			}
		}
	}
}
