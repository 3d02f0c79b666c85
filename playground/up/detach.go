package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Detach starts `playground up` with the given arguments in the background, shows what it prints until it is ready,
// and returns. A playground that runs in the directory already is as good.
func Detach(ctx context.Context, opts Options, args []string) error {
	if err := opts.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return err
	}
	if pid, err := runningPID(opts.Dir); err != nil {
		return err
	} else if pid != 0 {
		a, err := ReadAddresses(opts.Dir)
		if err != nil {
			return &runningError{opts.Dir, pid}
		}
		_, _ = fmt.Fprintf(opts.Out, "A playground already runs in %s (process %d).\n%s", opts.Dir, pid, a.table(opts.Dir))
		return nil
	}
	if err := os.Remove(addressesFile(opts.Dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // one that was left by a killed start would look ready
	}
	log, err := os.OpenFile(filepath.Join(opts.Dir, "playground.log"), os.O_CREATE|os.O_RDWR|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = os.Args[0] // what it prints should name the program as it was called
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return follow(ctx, opts, log, cmd, ended)
}

func follow(ctx context.Context, opts Options, log io.ReaderAt, cmd *exec.Cmd, ended <-chan error) error {
	printed := int64(0)
	show := func() {
		n, _ := io.Copy(opts.Out, io.NewSectionReader(log, printed, 1<<30))
		printed += n
	}
	deadline := time.After(startTimeout + time.Minute)
	for {
		select {
		case err := <-ended:
			show()
			if err == nil {
				err = errors.New("without an error")
			}
			return fmt.Errorf("the playground did not start (%w); what it printed is above and in %s", err, filepath.Join(opts.Dir, "playground.log"))
		case <-ctx.Done():
			_ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM)
			select {
			case <-ended: //nolint:errcheck // it was told to end, so how it ended is no news
			case <-time.After(downTimeout):
			}
			show()
			return errors.New("interrupted while starting")
		case <-deadline:
			_ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM)
			return fmt.Errorf("the playground was not ready in time; see %s", filepath.Join(opts.Dir, "playground.log"))
		case <-time.After(100 * time.Millisecond):
			show()
			if a, err := ReadAddresses(opts.Dir); err == nil && a.PID == cmd.Process.Pid {
				show()
				return nil
			}
		}
	}
}
