package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Error says what is wrong with a setting and what to do about it.
type Error struct {
	Key    string // name of the setting
	Value  string // what was given
	Where  string // flag, variable, or file and line
	Reason string // what is wrong, and what is allowed
}

func (e *Error) Error() string {
	where := ""
	if e.Where != "" {
		where = " (" + e.Where + ")"
	}
	return fmt.Sprintf("%s: %q%s: %s", e.Key, withoutPasswords(e.Value), where, e.Reason)
}

// Source is where a setting may come from.
type Source string

// Sources, the strongest first.
const (
	FromFlag    Source = "flag"
	FromEnv     Source = "env"
	FromFile    Source = "file"
	FromDefault Source = "default"
)

// A Value is a setting with the text that holds for it.
type Value struct {
	Setting *Setting
	Text    string
	Source  Source
	Where   string // such as "--data", "SVMGATE_DATA" or "svmgate.yaml:3"
}

// Effective is what [Load] found.
type Effective struct {
	Config
	Values   []Value  // in the order of [Table]
	Warnings []string // what is odd but no error
}

// Input is what [Load] reads.
type Input struct {
	Flags map[string]string // by name, those given
	Env   []string          // as [os.Environ] has it
	File  string            // path; empty means SVMGATE_CONFIG, else none
}

// Load finds the value of every setting, converts and checks it. The error joins
// an [*Error] for each thing that is wrong.
func Load(in Input) (*Effective, error) {
	var wrong []error
	fail := func(e *Error) { wrong = append(wrong, e) }

	env, warnings := readEnv(in.Env, fail)
	if in.File == "" {
		in.File = env["config"].text
	}
	file, err := readFile(in.File, fail)
	if err != nil {
		wrong = append(wrong, err)
	}
	e := &Effective{Warnings: warnings}
	for i := range Table {
		v := choose(&Table[i], in.Flags, env, file)
		if err := v.Setting.parse(&e.Config, v.Text); err != nil {
			fail(refusal(v, err))
		}
		e.Values = append(e.Values, v)
	}
	for name, text := range in.Flags {
		if why, ok := absent[name]; ok {
			fail(&Error{Key: name, Value: text, Where: "--" + name, Reason: absence(why)})
		}
	}
	if len(wrong) == 0 {
		e.check(fail)
	}
	slices.SortStableFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return e, nil
}

// Find returns the value of one setting as [Load] does, and judges no other: a
// command that needs one shall not fail for the rest.
func Find(name string, in Input) (Value, error) {
	var wrong error
	fail := func(e *Error) {
		if e.Key == name {
			wrong = e
		}
	}
	env, _ := readEnv(in.Env, fail)
	if in.File == "" {
		in.File = env["config"].text
	}
	file, err := readFile(in.File, fail)
	if err = errors.Join(err, wrong); err != nil {
		return Value{}, err
	}
	s, _ := Lookup(name)
	v := choose(s, in.Flags, env, file)
	if err := s.parse(new(Config), v.Text); err != nil {
		return Value{}, refusal(v, err)
	}
	return v, nil
}

// choose returns the value of s from the strongest source that has one.
func choose(s *Setting, flags map[string]string, env, file map[string]given) Value {
	v := Value{Setting: s, Text: s.Default, Source: FromDefault}
	if text, ok := flags[s.Name]; ok {
		v.Text, v.Source, v.Where = text, FromFlag, "--"+s.Name
	} else if g, ok := env[s.Name]; ok {
		v.Text, v.Source, v.Where = g.text, FromEnv, g.where
	} else if g, ok := file[s.Name]; ok {
		v.Text, v.Source, v.Where = g.text, FromFile, g.where
	}
	if !s.Secret {
		v.Text = strings.TrimSpace(v.Text)
	}
	return v
}

// given is a value with its place.
type given struct{ text, where string }

func refusal(v Value, err error) *Error {
	reason := "want " + v.Setting.Allowed
	if !errors.Is(err, errNotAllowed) {
		reason = err.Error() + "; " + reason
	}
	text := v.Text
	if v.Setting.Secret {
		text = redacted
	}
	return &Error{Key: v.Setting.Name, Value: text, Where: v.Where, Reason: reason}
}

func absence(why string) string { return "this release does not have this setting: " + why }

// value returns the value called name, which exists.
func (e *Effective) value(name string) Value {
	i := slices.IndexFunc(e.Values, func(v Value) bool { return v.Setting.Name == name })
	return e.Values[i]
}

// notSettings are variables that other parts of the program read.
var notSettings = []string{"SVMGATE_USER", "SVMGATE_PASSWORD"}

// readEnv returns the settings among environ, and warns of the rest.
func readEnv(environ []string, fail func(*Error)) (env map[string]given, warnings []string) {
	env = map[string]given{}
	for _, pair := range environ {
		variable, text, _ := strings.Cut(pair, "=")
		tail, ours := strings.CutPrefix(variable, "SVMGATE_")
		if !ours || slices.Contains(notSettings, variable) || strings.HasPrefix(tail, "VSPHERE_") {
			continue
		}
		name := strings.ToLower(strings.ReplaceAll(tail, "_", "-"))
		if _, ok := Lookup(name); ok || name == "config" {
			if text != "" {
				env[name] = given{text, variable}
			}
		} else if why, ok := absent[name]; ok {
			if text != "" {
				fail(&Error{Key: name, Value: text, Where: variable, Reason: absence(why)})
			}
		} else if !linked(tail) {
			warnings = append(warnings, fmt.Sprintf("the environment variable %s is no setting and is ignored%s", variable, meant(name, true)))
		}
	}
	slices.Sort(warnings)
	return env, warnings
}

// linked reports whether a variable looks like those that container platforms
// set for a service called svmgate: SVMGATE_PORT, SVMGATE_PORT_7270_TCP,
// SVMGATE_SERVICE_HOST.
func linked(tail string) bool {
	return tail == "PORT" || strings.HasPrefix(tail, "PORT_") || strings.HasPrefix(tail, "SERVICE_")
}
