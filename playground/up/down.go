package up

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bakewatch/bakewatch/playground/child"
)

const downTimeout = 30 * time.Second

// Down stops the playground of a directory and whatever a killed one left behind. Nothing to stop is fine.
func Down(dir string, out io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	pid, err := runningPID(dir)
	if err != nil {
		return err
	}
	if pid == 0 {
		_, _ = fmt.Fprintf(out, "no playground runs in %s\n", dir)
		return child.KillStale(dir)
	}
	// Whoever holds the lock is the playground of this directory: its number cannot be someone else's.
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, downTimeout}, {syscall.SIGKILL, 5 * time.Second}} {
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
		for end := time.Now().Add(step.wait); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if now, err := runningPID(dir); err != nil {
				return err
			} else if now == 0 {
				_, _ = fmt.Fprintf(out, "stopped the playground in %s\n", dir)
				return child.KillStale(dir)
			}
		}
	}
	return fmt.Errorf("process %d, the playground in %s, does not end: kill it by hand", pid, dir)
}
