package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// What a Dir keeps, at most.
const (
	MaxFiles = 500
	MaxFile  = 16 << 20 // bytes of a file
)

// ending is what the names of its files end in.
const ending = ".jsonl"

// Dir keeps files of lines in a directory, the newest of them. Whoever hands lines over does not wait for the disk.
type Dir struct {
	path  string
	files int
	say   func(error)

	mu      sync.Mutex
	waiting map[string][]byte // newest lines by name, not yet written
	wake    chan struct{}
}

// NewDir keeps files in a directory, which is made when there is something to keep. say is told of each error that differs
// from the one before, and with nil that files are written again.
func NewDir(path string, say func(error)) *Dir {
	return &Dir{path: path, files: MaxFiles, say: say, waiting: map[string][]byte{}, wake: make(chan struct{}, 1)}
}

// Put has the file of that name, without its ending, hold these lines and nothing else, soon. It does not block.
func (d *Dir) Put(name string, lines []byte) {
	d.mu.Lock()
	_, waits := d.waiting[name]
	if waits || len(d.waiting) < d.files { // a disk that hangs must not fill the memory
		d.waiting[name] = lines
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run writes what is put, until ctx ends.
func (d *Dir) Run(ctx context.Context) error {
	said := ""
	for {
		for name, lines, ok := d.next(); ok; name, lines, ok = d.next() {
			err := d.write(name, lines)
			now := ""
			if err != nil {
				now = err.Error()
			}
			if now != said {
				said = now
				d.say(err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		}
	}
}

// next takes one file that waits.
func (d *Dir) next() (name string, lines []byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, lines = range d.waiting {
		delete(d.waiting, name)
		return name, lines, true
	}
	return "", nil, false
}

// write puts a file in place at once, so that whoever reads it reads whole lines.
func (d *Dir) write(name string, lines []byte) error {
	if len(lines) > MaxFile {
		return fmt.Errorf("record readings: a bake's are more than %d MiB; the file keeps what it has", MaxFile>>20)
	}
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return fmt.Errorf("record readings: %w", err)
	}
	path := filepath.Join(d.path, name+ending)
	_, err := os.Stat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	temporary := filepath.Join(d.path, "."+name+".new")
	if err := os.WriteFile(temporary, lines, 0o644); err != nil {
		_ = os.Remove(temporary) // there may be none
		return fmt.Errorf("record readings: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("record readings: %w", err)
	}
	if isNew {
		return d.prune()
	}
	return nil
}

// prune deletes the oldest files, should there be too many.
func (d *Dir) prune() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("look for old readings: %w", err)
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ending) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, f := range files[:max(0, len(files)-d.files)] {
		if err := os.Remove(filepath.Join(d.path, f.Name())); err != nil {
			return fmt.Errorf("delete old readings: %w", err)
		}
	}
	return nil
}
