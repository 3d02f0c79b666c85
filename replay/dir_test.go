package replay

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// names are the files in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// flush writes what was put, and returns what was said.
func flush(t *testing.T, d *Dir) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestDirKeepsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "readings")
	d := NewDir(path, func(err error) { t.Error(err) })
	d.files = 3
	for i := range 5 {
		d.Put(fmt.Sprintf("shop_web-%d", i), []byte("old\n"))
		d.Put(fmt.Sprintf("shop_web-%d", i), []byte("{}\n"))
		flush(t, d)
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(filepath.Join(path, fmt.Sprintf("shop_web-%d.jsonl", i)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, path); !slices.Equal(got, []string{"shop_web-2.jsonl", "shop_web-3.jsonl", "shop_web-4.jsonl"}) {
		t.Errorf("there are %v", got)
	}
	data, err := os.ReadFile(filepath.Join(path, "shop_web-4.jsonl"))
	if err != nil || string(data) != "{}\n" {
		t.Errorf("it holds %q, %v", data, err)
	}
}

// An error is said once, and so is that it is over; nothing else comes of it.
func TestDirSaysErrorsOnce(t *testing.T) {
	blocker := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said []error
	d := NewDir(filepath.Join(blocker, "readings"), func(err error) { said = append(said, err) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	put := func(lines []byte) {
		d.Put("a", lines)
		for range 1000 {
			d.mu.Lock()
			n := len(d.waiting)
			d.mu.Unlock()
			if n == 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatal("it is never written")
	}
	go func() { done <- d.Run(ctx) }()
	put([]byte("1\n"))
	put([]byte("2\n"))
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the second may still fail
	put([]byte("3\n"))
	put(make([]byte, MaxFile+1))
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(said) != 3 || said[0] == nil || said[1] != nil || said[2] == nil {
		t.Errorf("said %v", said)
	}
}
