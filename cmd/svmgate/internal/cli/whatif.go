package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/discovery"
)

// forecastTimeout is longer than a gateway takes for a forecast, or gives it up.
const forecastTimeout = 90 * time.Second

// shownRows is how many rows of a forecast's tables are for people.
const shownRows = 12

// supposition is the body of a question what if.
type supposition struct {
	Lose       []string       `json:"lose,omitempty"`
	Add        int            `json:"add,omitempty"`
	Like       string         `json:"like,omitempty"`
	Activate   []string       `json:"activate,omitempty"`
	Deactivate []string       `json:"deactivate,omitempty"`
	Agents     map[string]int `json:"agents,omitempty"`
}

func whatIfCommand() *cobra.Command {
	var what supposition
	var agents []string
	cmd, conn := remote(&cobra.Command{
		Use:   "whatif",
		Short: "Tell who would move, and what loads would result, and change nothing",
		Long: `Tell what a change would lead to: which agents would move, what load each SVM would
have, and who would be left without one. Nothing is changed. Without flags it tells
what is to come as things are. SVMs and tenants are given by id or by name; flags may
be repeated.

"At once" is when every agent has asked once. "In the end" is when slow starts, drains,
returns to better SVMs and rebalancing are through.`,
		Args: exactly(),
		Example: `  svmgate whatif --lose svm-03 --lose svm-04
  svmgate whatif --add 2 --like svm-03 --agents 5000
  svmgate whatif --activate acme --agents acme=300`,
	})
	flags := cmd.Flags()
	flags.StringSliceVar(&what.Lose, "lose", nil, "an `SVM` that goes down")
	flags.IntVar(&what.Add, "add", 0, "so many SVMs come, each on a host of its own")
	flags.StringVar(&what.Like, "like", "", "the `SVM` that those of --add are like (default: one of the kind of which there are most)")
	flags.StringSliceVar(&what.Activate, "activate", nil, "a `tenant` that is activated")
	flags.StringSliceVar(&what.Deactivate, "deactivate", nil, "a `tenant` that is deactivated")
	flags.StringSliceVar(&agents, "agents", nil, "so many agents come, spread as those that are there; `N`, or TENANT=N")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := what.readAgents(agents); err != nil {
			return err
		}
		if err := conn.open(cmd); err != nil {
			return err
		}
		body, err := conn.forecast(cmd.Context(), what)
		if err != nil {
			return err
		}
		return conn.print(cmd, body, func(w io.Writer) error { return showForecast(w, body) })
	}
	return cmd
}

// forecast asks what a change would lead to.
func (c *connection) forecast(ctx context.Context, what supposition) ([]byte, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, request{
		method: "POST", path: "/v1/whatif", contentType: "application/json",
		body: strings.NewReader(string(text)), timeout: forecastTimeout,
	})
}

// readAgents reads the values of --agents.
func (s *supposition) readAgents(values []string) error {
	for _, v := range values {
		tenant, count := "*", v
		if i := strings.LastIndexByte(v, '='); i >= 0 {
			tenant, count = v[:i], v[i+1:]
		}
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || tenant == "" {
			return usage("--agents %q: want a number such as 500, or a tenant and a number such as acme=500", v)
		}
		if s.Agents == nil {
			s.Agents = map[string]int{}
		}
		s.Agents[tenant] += n
	}
	return nil
}

func showForecast(w io.Writer, body []byte) error {
	var f discovery.Forecast
	if err := json.Unmarshal(body, &f); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n", strings.Join(sentences(&f), "\n"))
	for _, show := range []func(io.Writer, *discovery.Forecast) error{showOutcomes, showSVMs, showFlows, showTenants} {
		if err := show(w, &f); err != nil {
			return err
		}
	}
	return nil
}

// sentences tell a forecast to who reads no tables.
func sentences(f *discovery.Forecast) []string {
	list := []string{fmt.Sprintf("Of %s nobody would move.", plural(f.Agents, "agent"))}
	if m := f.Moves; m.AtOnce+m.InTheEnd > 0 {
		list[0] = fmt.Sprintf("Of %s %d would move at once, and %d would be elsewhere in the end.", plural(f.Agents, "agent"), m.AtOnce, m.InTheEnd)
		if m.Anyway > 0 {
			list[0] += fmt.Sprintf(" Without the change it would be %d in the end.", m.Anyway)
		}
	}
	switch n := f.AtOnce.Inactive - f.Before.Inactive; {
	case n > 0:
		list = append(list, plural(n, "agent")+" more would belong to an inactive tenant, and be sent where no SVM is.")
	case n < 0:
		list = append(list, plural(-n, "agent")+" fewer would belong to an inactive tenant.")
	}
	if f.Stranded > 0 {
		list = append(list, fmt.Sprintf("%s of %s would have no SVM: for %d none passes the filters, for %d all that do are at their hard cap.",
			plural(f.AtOnce.NoSVM+f.AtOnce.OverCapacity, "agent"), plural(f.Stranded, "tenant"), f.AtOnce.NoSVM, f.AtOnce.OverCapacity))
	}
	full := 0
	for i := range f.SVMs {
		if f.SVMs[i].Full {
			full++
		}
	}
	if full > 0 {
		list = append(list, fmt.Sprintf("%s would be at the hard cap in the end.", plural(full, "SVM")))
	}
	return list
}

func showOutcomes(w io.Writer, f *discovery.Forecast) error {
	var rows []table.Row
	for _, o := range []struct {
		name  string
		count func(discovery.Outcome) int
	}{
		{"with an SVM", func(o discovery.Outcome) int { return o.Served }},
		{"tenant inactive", func(o discovery.Outcome) int { return o.Inactive }},
		{"no SVM", func(o discovery.Outcome) int { return o.NoSVM }},
		{"over capacity", func(o discovery.Outcome) int { return o.OverCapacity }},
	} {
		before, atOnce, inTheEnd := o.count(f.Before), o.count(f.AtOnce), o.count(f.InTheEnd)
		if before+atOnce+inTheEnd > 0 {
			rows = append(rows, table.Row{o.name, before, atOnce, inTheEnd})
		}
	}
	return section(w, table.Row{"AGENTS", "BEFORE", "AT ONCE", "IN THE END"}, rows, 0, "")
}

// showSVMs shows SVMs that are lost or added, then those whose load changes most.
func showSVMs(w io.Writer, f *discovery.Forecast) error {
	list := slices.Clone(f.SVMs)
	slices.SortStableFunc(list, func(a, b discovery.SVMForecast) int {
		return cmp.Or(cmp.Compare(b.Change, a.Change), cmp.Compare(changeOf(&b), changeOf(&a)), cmp.Compare(a.Name, b.Name))
	})
	var rows []table.Row
	same := 0
	for i := range list {
		s := &list[i]
		if s.Change == "" && !s.Full && changeOf(s) == 0 {
			same++
			continue
		}
		row := table.Row{nameOr(s.Name, s.ID), orDash(s.Change), s.Before, s.AtOnce, s.InTheEnd, count(s.Fair), s.Capacity, count(s.HardCap)}
		switch {
		case s.Change == "lost":
			row[3], row[4], row[5] = "-", "-", "-"
		case s.Full:
			row[1] = "full"
		}
		rows = append(rows, row)
	}
	more := ""
	if same > 0 {
		more = plural(same, "SVM") + " whose load stays the same"
	}
	header := table.Row{"SVM", "CHANGE", "BEFORE", "AT ONCE", "IN THE END", "FAIR SHARE", "CAPACITY", "HARD CAP"}
	return section(w, header, firstRows(rows), len(rows), more)
}

// changeOf is by how much a load changes.
func changeOf(s *discovery.SVMForecast) int {
	return max(s.AtOnce-s.Before, s.Before-s.AtOnce, s.InTheEnd-s.Before, s.Before-s.InTheEnd)
}

func showFlows(w io.Writer, f *discovery.Forecast) error {
	rows := make([]table.Row, 0, len(f.Flows))
	for _, flow := range f.Flows {
		rows = append(rows, table.Row{nameOr(flow.From.Name, flow.From.ID), nameOr(flow.To.Name, flow.To.ID), flow.Agents})
	}
	return section(w, table.Row{"FROM", "TO", "AGENTS"}, firstRows(rows), f.FlowCount, "")
}

func showTenants(w io.Writer, f *discovery.Forecast) error {
	rows := make([]table.Row, 0, len(f.Tenants))
	for _, t := range f.Tenants {
		name := nameOr(t.Name, t.ID)
		if t.ID.IsZero() {
			name = "(no tenant)"
		}
		rows = append(rows, table.Row{name, t.Agents, t.Moves.AtOnce, t.Moves.InTheEnd, t.AtOnce.NoSVM, t.AtOnce.OverCapacity})
	}
	return section(w, table.Row{"TENANT", "AGENTS", "MOVE AT ONCE", "ELSEWHERE IN THE END", "NO SVM", "OVER CAPACITY"}, firstRows(rows), f.TenantCount, "")
}

// section writes a table after an empty line; all is how many rows there are. A table
// without rows is left out.
func section(w io.Writer, header table.Row, rows []table.Row, all int, more string) error {
	if len(rows) > 0 {
		fmt.Fprintln(w)
		if err := printTable(w, header, rows); err != nil {
			return err
		}
	}
	if left := all - len(rows); left > 0 {
		fmt.Fprintf(w, "and %d more (--output json has more)\n", left)
	}
	if more != "" {
		fmt.Fprintf(w, "and %s\n", more)
	}
	return nil
}

// firstRows are as many as people read.
func firstRows(rows []table.Row) []table.Row { return rows[:min(len(rows), shownRows)] }

// nameOr names what may have no name.
func nameOr(name string, id fmt.Stringer) string {
	if name == "" {
		return id.String()
	}
	return name
}

// count is a number, or a dash if there is none.
func count(n int) any {
	if n == 0 {
		return "-"
	}
	return n
}
