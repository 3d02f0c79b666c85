package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxLine is the most bytes a line may have.
const MaxLine = 10 << 20

// Reader reads lines, strictly. After an error it reads nothing more.
type Reader struct {
	lines  *bufio.Scanner
	number int
	last   *float64 // t of the line before
	err    error
}

// NewReader reads lines from r.
func NewReader(r io.Reader) *Reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), MaxLine)
	return &Reader{lines: s}
}

// Number is the number of the line read last, from 1.
func (r *Reader) Number() int { return r.number }

// Next is the next line; io.EOF after the last one. Other errors name the line and the key. Blank lines are passed over.
func (r *Reader) Next() (Line, error) {
	if r.err != nil {
		return Line{}, r.err
	}
	l, err := r.next()
	r.err = err
	return l, err
}

func (r *Reader) next() (Line, error) {
	for r.lines.Scan() {
		r.number++
		raw := bytes.TrimSpace(r.lines.Bytes())
		if len(raw) == 0 {
			continue
		}
		l, err := parse(raw)
		if err == nil && r.last != nil && l.T <= *r.last {
			err = fmt.Errorf("t: must be later than %s, that of the line before, not %s", shownSeconds(*r.last), shownSeconds(l.T))
		}
		if err != nil {
			return Line{}, fmt.Errorf("line %d: %w", r.number, err)
		}
		r.last = &l.T
		return l, nil
	}
	switch err := r.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Line{}, fmt.Errorf("line %d: is longer than %d MiB", r.number+1, MaxLine>>20)
	case err != nil:
		return Line{}, fmt.Errorf("line %d: %w", r.number+1, err)
	}
	return Line{}, io.EOF
}
