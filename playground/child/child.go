// Package child runs programs that belong to the playground and must not outlive it.
package child

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is what to run.
type Program struct {
	Name string // names the log and the record of the process
	Path string
	Args []string
	Dir  string // where log and record are kept
}

// Process is a running program.
type Process struct {
	Program
	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	err  error
	want bool // whether its end was asked for
}

// record is kept on disk, so that the next start can end what a killed one left behind.
type record struct {
	PID  int      `json:"pid"`
	Args []string `json:"args"`
}

// Start runs a program with its output going to DIR/NAME.log.
func Start(p Program) (*Process, error) {
	log, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	proc := &Process{Program: p, done: make(chan struct{})}
	proc.cmd = exec.Command(p.Path, p.Args...)
	proc.cmd.Stdout, proc.cmd.Stderr = log, log
	// In a group of its own, so that a Ctrl-C reaches only the playground, which then stops it in order.
	proc.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the death signal when the thread ends that started the child, not the process: keep it.
		runtime.LockOSThread()
		err := proc.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = proc.cmd.Wait()
		proc.mu.Lock()
		proc.err = err
		proc.mu.Unlock()
		_ = os.Remove(p.recordFile())
		close(proc.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	raw, err := json.Marshal(record{proc.cmd.Process.Pid, proc.cmd.Args})
	if err == nil {
		err = os.WriteFile(p.recordFile(), raw, 0o600)
	}
	if err != nil {
		proc.Stop(syscall.SIGKILL, time.Second)
		return nil, fmt.Errorf("record the process of %s: %w", p.Name, err)
	}
	return proc, nil
}

// LogFile is where the program's output goes.
func (p Program) LogFile() string    { return filepath.Join(p.Dir, p.Name+".log") }
func (p Program) recordFile() string { return filepath.Join(p.Dir, p.Name+".process.json") }

// Done is closed once the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the program ended although nobody asked for it, with the last lines it printed; nil if it was asked to.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.want {
		return nil
	}
	why := "without an error"
	if p.err != nil {
		why = p.err.Error()
	}
	return fmt.Errorf("%s ended (%s); the end of %s:\n%s", p.Name, why, p.LogFile(), Tail(p.LogFile(), 5))
}

// Stop sends a signal, and SIGKILL if the program is still there after the grace time.
func (p *Process) Stop(sig syscall.Signal, grace time.Duration) {
	p.mu.Lock()
	p.want = true
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return
	case <-time.After(grace):
	}
	_ = p.cmd.Process.Kill()
	select {
	case <-p.done:
	case <-time.After(5 * time.Second): // it hangs in the kernel: nothing more can be done
	}
}

// KillStale ends the programs an earlier playground left behind in a directory. A recorded process is killed only if
// it still runs with the recorded arguments, which name our directory: its number may belong to someone else.
func KillStale(dir string) error {
	records, err := filepath.Glob(filepath.Join(dir, "*.process.json"))
	if err != nil {
		return err
	}
	for _, path := range records {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var r record
		if json.Unmarshal(raw, &r) == nil && r.PID > 1 && isOurs(r) {
			if err := killAndWait(r); err != nil {
				return err
			}
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func isOurs(r record) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(r.PID) + "/cmdline")
	if err != nil || len(r.Args) < 2 {
		return false
	}
	// Without the program's own name: a wrapper script shows its interpreter first, and then the real program.
	return strings.HasSuffix(string(bytes.TrimRight(raw, "\x00")), "\x00"+strings.Join(r.Args[1:], "\x00"))
}

func killAndWait(r record) error {
	for range 100 {
		if err := syscall.Kill(r.PID, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("kill %s (process %d) left from an earlier start: %w", r.Args[0], r.PID, err)
		}
		time.Sleep(50 * time.Millisecond)
		if !isOurs(r) {
			return nil
		}
	}
	return fmt.Errorf("%s (process %d) left from an earlier start does not die: kill it by hand", r.Args[0], r.PID)
}

// Tail returns the last lines of a file, as much as can be read of it.
func Tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	const most = 16 << 10
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	buf := make([]byte, min(most, info.Size()))
	n, _ := f.ReadAt(buf, info.Size()-int64(len(buf)))
	all := strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
