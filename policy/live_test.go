package policy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLive(t *testing.T) {
	var l Live
	if l.Current() != nil || l.Status() != (Status{}) {
		t.Fatal("a new Live knows something")
	}
	var seen []int
	l.OnChange(func(c *Config) {
		if l.Current() != c {
			t.Error("a subscriber is called before the change is in force")
		}
		seen = append(seen, c.History)
	})

	if changed, err := l.Offer("f", []byte("history: 0")); changed || err == nil || l.Current() != nil {
		t.Fatalf("a bad first one: %v, %v", changed, err)
	}
	if s := l.Status(); s.Err == nil || s.Hash != "" || s.Attempt.IsZero() || s.Name != "f" || s.Content == "" {
		t.Fatalf("status %+v", s)
	}
	if changed, err := l.Offer("f", []byte(smallest)); !changed || err != nil {
		t.Fatalf("a good one: %v, %v", changed, err)
	}
	good, before := l.Current(), l.Status()
	if before.Err != nil || before.Hash != good.Hash() || before.Since.IsZero() {
		t.Fatalf("status %+v", before)
	}
	if changed, err := l.Offer("f", []byte(smallest+"# a comment\n")); changed || err != nil || l.Current() != good {
		t.Fatalf("the same again: %v, %v", changed, err)
	}
	if changed, err := l.Offer("f", []byte(smallest+"histroy: 3\n")); changed || err == nil || l.Current() != good {
		t.Fatalf("a bad edit: %v, %v", changed, err)
	}
	if s := l.Status(); s.Err == nil || s.Hash != before.Hash || s.Since != before.Since || s.Content == before.Content {
		t.Fatalf("status after a bad edit %+v", s)
	}
	gone := errors.New("ConfigMap bakewatch/bakewatch is missing")
	l.Missing("f", gone)
	if s := l.Status(); !errors.Is(s.Err, gone) || s.Content != "" || l.Current() != good {
		t.Fatalf("status when missing %+v", s)
	}
	if changed, err := l.Offer("f", []byte(smallest+"history: 7\n")); !changed || err != nil || l.Status().Err != nil {
		t.Fatalf("a good edit: %v, %v", changed, err)
	}
	late := 0
	l.OnChange(func(c *Config) { late = c.History })
	if len(seen) != 2 || seen[0] != 5 || seen[1] != 7 || late != 7 {
		t.Errorf("subscribers saw %v and %d", seen, late)
	}
}

// Meant for the race detector.
func TestLiveConcurrently(t *testing.T) {
	var l Live
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				switch i % 4 {
				case 0:
					_, _ = l.Offer("f", []byte(smallest+"history: 2\n"))
				case 1:
					_, _ = l.Offer("f", []byte(smallest+"history: 3\n"))
				case 2:
					l.OnChange(func(*Config) {})
					l.Missing("f", os.ErrNotExist)
				case 3:
					if c := l.Current(); c != nil {
						c.For(api)
					}
					l.Status()
				}
			}
		})
	}
	wg.Wait()
}

func TestWatchFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bakewatch.yaml")
	write := func(text string) {
		t.Helper()
		// As a mounted ConfigMap changes: the name is renamed over, and the time and size may be the same.
		tmp := filepath.Join(dir, "tmp")
		if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, path); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var l Live
		var mu sync.Mutex
		var reports []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- WatchFile(ctx, path, 2*time.Second, &l, func(err error) {
				mu.Lock()
				defer mu.Unlock()
				reports = append(reports, err.Error())
			})
		}()
		expect := func(what string, history int, contains ...string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := l.Current(); (got == nil) != (history == 0) || got != nil && got.History != history {
				t.Errorf("%s: the current one is %+v", what, got)
			}
			if len(reports) != len(contains) {
				t.Errorf("%s: reports %q", what, reports)
			} else {
				for i := range contains {
					if !strings.Contains(reports[i], contains[i]) {
						t.Errorf("%s: report %q lacks %q", what, reports[i], contains[i])
					}
				}
			}
			reports = nil
		}
		expect("missing", 0, path)
		write("")
		expect("empty", 0, "is empty")
		write(smallest + "history: 4\n")
		expect("good", 4)
		write(smallest + "history: 0\n")
		expect("bad", 4, path+":2: history: must be from 1 to 100")
		expect("still bad", 4)
		write(smallest + "history: 6\n")
		expect("good again", 6)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expect("removed", 6, path)
		if l.Status().Err == nil {
			t.Error("removed: the status does not say so")
		}
		write(smallest + "history: 6\n")
		expect("back", 6)
		if err := l.Status().Err; err != nil {
			t.Errorf("back: status %v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}
