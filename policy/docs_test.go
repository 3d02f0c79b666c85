package policy

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

const docs = "../docs/configuration.md"

// paths are the key paths below t that hold a value, with <name> for the keys of a map and [] for items of a list.
func paths(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
	case t == reflect.TypeFor[Outlets]() && path == "announce.receivers.<name>": // they are those of announce
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return paths(t.Elem(), path+"[]")
	case t.Kind() == reflect.Map:
		return paths(t.Elem(), path+".<name>")
	case t.Kind() == reflect.Struct:
		var all []string
		for key, index := range fields(t) {
			all = append(all, paths(t.FieldByIndex(index).Type, strings.TrimPrefix(path+"."+key, "."))...)
		}
		return all
	}
	return []string{path}
}

// Each key is documented, and so is each annotation.
func TestDocumented(t *testing.T) {
	data, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	want := paths(reflect.TypeFor[Config](), "")
	if len(want) < 60 {
		t.Fatalf("only %d keys were found: %v", len(want), want)
	}
	want = append(want, annotationEnabled, annotationMode, annotationWindow, annotationInterval, annotationConfigMaps, AnnotationMigrations, AnnotationApprove, AnnotationReject, AnnotationUndo, AnnotationAbort, AnnotationGitOps, AnnotationGitPath, AnnotationGitWorkflow, AnnotationResume)
	for _, key := range keys(reflect.TypeFor[Canary]()) {
		want = append(want, canaryAnnotation+key)
	}
	for _, key := range keys(reflect.TypeFor[Threshold]()) {
		want = append(want, AnnotationPrefix+"<signal>."+key)
	}
	for _, path := range want {
		if !strings.Contains(string(data), "`"+path+"`") {
			t.Errorf("%s is not in %s", path, docs)
		}
	}
}

// The errors the documentation shows are ones that are really reported, and its examples are accepted.
func TestDocsAreTrue(t *testing.T) {
	data, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	reported := map[string]bool{}
	goldens, _ := filepath.Glob("testdata/bad/*.err")
	for _, g := range goldens {
		text, err := os.ReadFile(g)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			reported[strings.TrimSpace(line)] = true
		}
	}
	blocks := regexp.MustCompile("(?s)```(yaml|text)\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	seen := map[string]int{}
	for _, b := range blocks {
		seen[b[1]]++
		if b[1] == "yaml" {
			if _, err := Parse("example", []byte(b[2])); err != nil {
				t.Errorf("an example is refused: %v\n%s", err, b[2])
			}
			continue
		}
		for line := range strings.Lines(b[2]) {
			if !reported[strings.TrimSpace(line)] {
				t.Errorf("no file in testdata/bad gives this error: %s", line)
			}
		}
	}
	if seen["yaml"] < 2 || seen["text"] < 20 {
		t.Errorf("examples found: %v", seen)
	}
}
