package up

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lock is held by the process whose playground a directory is. The kernel lets go of it when the process ends, in
// whatever way, so a lock is never stale.
type lock struct{ file *os.File }

// runningError says that a directory is in use.
type runningError struct {
	dir string
	pid int
}

func (e *runningError) Error() string {
	return fmt.Sprintf("a playground already runs in %s (process %d): stop it with `playground down --dir %s`, or choose another --dir", e.dir, e.pid, e.dir)
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

func takeLock(dir string) (*lock, error) {
	f, err := os.OpenFile(lockFile(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &runningError{dir, readPID(f)}
		}
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return &lock{f}, err
}

func (l *lock) release() { _ = l.file.Close() }

func readPID(f *os.File) int {
	buf := make([]byte, 20)
	n, _ := f.ReadAt(buf, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return pid
}

// runningPID is the process that holds a directory's lock, 0 for none.
func runningPID(dir string) (int, error) {
	f, err := os.OpenFile(lockFile(dir), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return readPID(f), nil
	}
	return 0, err
}
