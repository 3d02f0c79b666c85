package agent

import (
	"context"
	"slices"
	"sync"
	"time"
)

const keepLines = 1000

// logLine is one line a container printed.
type logLine struct {
	at   time.Time
	text string
}

// logBuffer holds the last lines of one run of a container.
type logBuffer struct {
	mu    sync.Mutex
	lines []logLine
	total int                             // lines ever printed
	more  chan struct{}                   // closed and replaced when a line is added
	sink  func(at time.Time, text string) // takes each line, too; may be nil
}

func newLogBuffer() *logBuffer { return &logBuffer{more: make(chan struct{})} }

// newLog is where the next run of the pod's container writes to.
func (p *pod) newLog() *logBuffer {
	l := newLogBuffer()
	if lines := p.agent.opts.Lines; lines != nil {
		l.sink = func(at time.Time, text string) {
			lines(p.obj.Namespace, p.obj.Name, p.obj.Spec.Containers[0].Name, at, text)
		}
	}
	return l
}

func (l *logBuffer) print(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= keepLines {
		l.lines = slices.Delete(l.lines, 0, keepLines/10)
	}
	now := time.Now()
	l.lines = append(l.lines, logLine{now, text})
	if l.sink != nil {
		l.sink(now, text)
	}
	l.total++
	close(l.more)
	l.more = make(chan struct{})
}

// since returns the lines printed after the first n, the number printed by now, and what to wait on for more.
func (l *logBuffer) since(n int) ([]logLine, int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := max(0, n-(l.total-len(l.lines)))
	return slices.Clone(l.lines[min(first, len(l.lines)):]), l.total, l.more
}

// repeat prints the lines of the log annotation once the time has come, and again every few seconds, as a program
// with a persistent problem does.
func (l *logBuffer) repeat(ctx context.Context, lines []string, after time.Duration) {
	if len(lines) == 0 || !sleep(ctx, after) {
		return
	}
	for {
		for _, text := range lines {
			l.print(text)
		}
		if !sleep(ctx, 5*time.Second) {
			return
		}
	}
}
