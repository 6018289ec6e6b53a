package journals

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// child names what this test binary does instead of testing, when a test has
// started it anew.
const child = "JOURNALS_CHILD"

var children = map[string]func(args []string) error{
	"append": appendChild,
	"fill":   fillChild,
	"write":  writeChild,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(child); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	code := m.Run()
	printTable(os.Stdout)
	os.Exit(code)
}

// engine returns the engine with the given name.
func engine(name string) (Engine, error) {
	for _, e := range underTest {
		if e.Name == name {
			return e, nil
		}
	}
	return Engine{}, fmt.Errorf("there is no engine %q", name)
}
