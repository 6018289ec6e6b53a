package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts run the commands as a process of their own, which has a
// terminal where the script gives it one.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"svmgate": func() {
		r := execute(os.Stdin, os.Args[1:]...)
		fmt.Print(r.out)
		fmt.Fprint(os.Stderr, r.errOut)
		if r.err != nil {
			fmt.Fprintln(os.Stderr, "svmgate:", r.err)
		}
		os.Exit(r.exit())
	}})
}

// TestScripts runs testdata/script, each script against a gateway of its own
// with the sample inventory, at $SERVER with the account root and $PASSWORD.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	check(t, err)
	for _, script := range scripts {
		g := newSample(t)
		testscript.Run(t, testscript.Params{
			Files: []string{script},
			Setup: func(env *testscript.Env) error {
				env.Setenv("SERVER", g.server)
				env.Setenv("PASSWORD", password)
				return nil
			},
		})
	}
}
