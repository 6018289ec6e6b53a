package config

import (
	"slices"

	"github.com/spf13/cobra"
)

// Flags are the flags of a command that takes settings.
type Flags struct {
	file   string
	values []*flagValue
}

// AddFlags gives cmd a flag for every setting, and --config.
func AddFlags(cmd *cobra.Command) *Flags {
	f := &Flags{}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.file, "config", "", "YAML `file` of settings")
	for i := range Table {
		s := &Table[i]
		if s.EnvOnly {
			continue
		}
		v := &flagValue{name: s.Name, text: s.Default, list: s.List}
		f.values = append(f.values, v)
		flags.Var(v, s.Name, s.Help+": "+s.Allowed)
		if s.Default == "false" {
			flags.Lookup(s.Name).NoOptDefVal = "true"
		}
	}
	// Known, so that using one is an error that says why; hidden, because there
	// is nothing to use.
	for name := range absent {
		v := &flagValue{name: name}
		f.values = append(f.values, v)
		flags.Var(v, name, "")
		flags.Lookup(name).Hidden = true
	}
	return f
}

// Input returns what [Load] should read: the flags that were given, and environ.
func (f *Flags) Input(environ []string) Input {
	in := Input{Flags: map[string]string{}, Env: environ, File: f.file}
	for _, v := range f.values {
		if v.given {
			in.Flags[v.name] = v.text
		}
	}
	return in
}

// A flagValue keeps the text of a flag; [Load] judges it, together with what
// other sources say.
type flagValue struct {
	name, text  string
	list, given bool
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Set(s string) error {
	if v.list && v.given {
		s = v.text + "," + s
	}
	v.text, v.given = s, true
	return nil
}

// Type is what the usage text shows behind the flag.
func (v *flagValue) Type() string {
	switch {
	case v.list:
		return "LIST"
	case slices.Contains([]string{"agent-addr", "admin-addr", "ops-addr", "cluster-addr", "cluster-advertise"}, v.name):
		return "HOST:PORT"
	}
	return "VALUE"
}
