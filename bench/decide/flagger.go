package main

// Flagger's rule, with the settings people copy: every minute, 99% of the last minute's requests must succeed. A check that
// fails, and one that has nothing to look at, adds one to a counter that nothing resets. At the check after the one that
// brought it to the threshold, the canary is rolled back.
const (
	flaggerSuccess   = 0.99
	flaggerThreshold = 5
)

func flagger(d *draw) int {
	failed := 0
	for end := ticksPerMinute; end <= len(d.ticks); end += ticksPerMinute {
		if failed >= flaggerThreshold {
			return end - 1
		}
		c := d.served(end-ticksPerMinute, end)
		if c.Requests == 0 || 1-c.Rate() < flaggerSuccess {
			failed++
		}
	}
	return never
}
