package integration

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// The programs the tests need, named by the environment; the Makefile sets it.
var (
	playgroundBinary = os.Getenv("BAKEWATCH_PLAYGROUND")
	kubectlBinary    = os.Getenv("BAKEWATCH_KUBECTL")
	bakewatchBinary  = os.Getenv("BAKEWATCH_BINARY")
)

// shared is the cluster that most tests share; nil where they are skipped.
var shared *cluster

// init keeps TestMain on the process's first thread, which lives as long as the process: the playground ends with the
// thread that started it, so that nothing is left behind by a test run that is killed.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if missing() != "" {
		if os.Getenv("BAKEWATCH_INTEGRATION") == "required" {
			fmt.Fprintln(os.Stderr, "integration:", missing())
			return 1
		}
		return m.Run()
	}
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	// Tests wait most of the time, so more of them run at once than there are processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set("24")
	}
	dir, err := os.MkdirTemp("", "bakewatch-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	shared, err = startCluster(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	defer shared.stop()
	if err := shared.install(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	return m.Run()
}

// missing says what is not set, and how to get it; empty when all is there.
func missing() string {
	for _, one := range [][2]string{{"BAKEWATCH_PLAYGROUND", playgroundBinary}, {"BAKEWATCH_KUBECTL", kubectlBinary}, {"BAKEWATCH_BINARY", bakewatchBinary}} {
		if one[1] == "" {
			return one[0] + " is not set; `make test` builds what is needed and sets it"
		}
	}
	return ""
}
