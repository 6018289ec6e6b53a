package config

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

const redacted = "(redacted)"

// shown returns the text of v for people: no secrets.
func (v Value) shown() string {
	if v.Setting.Secret && v.Text != "" {
		return redacted
	}
	return v.Text
}

// Print writes every setting with its value and where that came from, as a table
// or as JSON, without secrets.
func (e *Effective) Print(w io.Writer, asJSON bool) error {
	if asJSON {
		return e.printJSON(w)
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tFROM")
	for _, v := range e.Values {
		from := v.Where
		if from == "" {
			from = string(v.Source)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", v.Setting.Name, v.shown(), from)
	}
	return tw.Flush()
}

func (e *Effective) printJSON(w io.Writer) error {
	type row struct {
		Name   string `json:"name"`
		Value  string `json:"value"`
		Source Source `json:"source"`
		Where  string `json:"where,omitempty"`
	}
	out := struct {
		Settings []row    `json:"settings"`
		Warnings []string `json:"warnings"`
	}{Warnings: append([]string{}, e.Warnings...)}
	for _, v := range e.Values {
		out.Settings = append(out.Settings, row{v.Setting.Name, v.shown(), v.Source, v.Where})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
