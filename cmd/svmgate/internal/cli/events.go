package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

const eventsPath = "/v1/events"

// eventFlags say which events are wanted.
type eventFlags struct {
	types                         []string
	tenant, vm, svm, since, until string
	follow                        bool
}

func eventsCommand() *cobra.Command {
	var f eventFlags
	cmd, conn := remote(&cobra.Command{
		Use: "events", Short: "Show what happened, and who changed what", Args: exactly(),
		Long: "Show what happened, and who changed what: a line an event, the oldest first, with the time (UTC), the type,\n" +
			"what it is about, and what there is to say. With --follow it goes on as events come; without --since it then\n" +
			"begins now. With --output json --follow it writes one event a line.",
		Example: "  svmgate events --since 24h --type admin.\n" +
			"  svmgate events --tenant acme --since 2026-11-01T00:00:00Z\n" +
			"  svmgate events --follow --type svm.,agent.no_svm",
	})
	flags := cmd.Flags()
	flags.StringSliceVar(&f.types, "type", nil, "only `types` such as svm.down, or beginnings such as svm.")
	flags.StringVar(&f.tenant, "tenant", "", "only about this tenant, by id or `name`")
	flags.StringVar(&f.vm, "vm", "", "only about the VM with this BIOS `ID`")
	flags.StringVar(&f.svm, "svm", "", "only about this SVM, by id or `name`")
	flags.StringVar(&f.since, "since", "", "only from this `time` on, such as 24h (ago) or 2026-11-22T13:58:31Z")
	flags.StringVar(&f.until, "until", "", "only before this `time`")
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on as events come")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := conn.open(cmd); err != nil {
			return err
		}
		query, err := f.query(cmd.Context(), conn, time.Now())
		if err != nil {
			return err
		}
		names := &namesOf{conn: conn}
		switch {
		case f.follow:
			return conn.follow(cmd, query, names)
		case conn.output == "json":
			return conn.eventsAsJSON(cmd, query)
		}
		return conn.eachOf(cmd.Context(), eventsPath, query, func(raw json.RawMessage) error {
			return printEvent(cmd.Context(), cmd.OutOrStdout(), raw, names)
		})
	}
	return cmd
}

func (f *eventFlags) query(ctx context.Context, conn *connection, now time.Time) (url.Values, error) {
	query := url.Values{}
	if len(f.types) > 0 {
		query.Set("type", strings.Join(f.types, ","))
	}
	if f.vm != "" {
		query.Set("vm", f.vm)
	}
	for name, text := range map[string]string{"from": f.since, "to": f.until} {
		if text == "" {
			continue
		}
		at, err := moment(text, now)
		if err != nil {
			return nil, usage("--%s %q: want a time such as 2026-11-22T13:58:31Z, or how long ago, such as 90m or 24h",
				map[string]string{"from": "since", "to": "until"}[name], text)
		}
		query.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
	if f.follow && f.until != "" {
		return nil, usage("--until: events that are to come are followed without an end")
	}
	for name, find := range map[string]func(context.Context, string) (string, error){"tenant": conn.tenantID, "svm": conn.svmID} {
		given := map[string]string{"tenant": f.tenant, "svm": f.svm}[name]
		if given == "" {
			continue
		}
		id, err := find(ctx, given)
		if err != nil {
			return nil, err
		}
		query.Set(name, id)
	}
	return query, nil
}

// moment reads a time, or how long ago it was.
func moment(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			return time.Time{}, errors.New("in the future")
		}
		return now.Add(-ago), nil
	}
	return time.Parse(time.RFC3339, text)
}

// eventsAsJSON writes all events as one page, and holds no more than one of the gateway's.
func (c *connection) eventsAsJSON(cmd *cobra.Command, query url.Values) error {
	out := cmd.OutOrStdout()
	before := `{"items":[`
	err := c.eachOf(cmd.Context(), eventsPath, query, func(raw json.RawMessage) error {
		_, err := fmt.Fprintf(out, "%s%s", before, raw)
		before = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	if before != ",\n" {
		_, err = fmt.Fprint(out, before)
	}
	if err == nil {
		_, err = fmt.Fprintln(out, `],"next":""}`)
	}
	return err
}

// printEvent writes an event as a line: time, type, what it is about, and what was said.
func printEvent(ctx context.Context, w io.Writer, raw []byte, names *namesOf) error {
	var e store.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("an event can not be read: %w", err)
	}
	fields := []string{stamp(e.Time), e.Type, names.about(ctx, &e)}
	if e.Message != "" {
		fields = append(fields, e.Message)
	}
	switch {
	case e.Actor != "" && e.From != "":
		fields = append(fields, "by "+e.Actor+" from "+e.From)
	case e.Actor != "":
		fields = append(fields, "by "+e.Actor)
	}
	_, err := fmt.Fprintln(w, strings.Join(fields, "  "))
	return err
}

// namesOf knows the names of tenants and SVMs. It asks for all when the first is needed,
// and for one at a time afterwards: those that are new, or gone.
type namesOf struct {
	conn  *connection
	known map[string]string // by path of the API; what has no name, or is gone, has its id
}

func (n *namesOf) about(ctx context.Context, e *store.Event) string {
	var words []string
	if !e.Tenant.IsZero() {
		words = append(words, n.name(ctx, "/v1/tenants/", e.Tenant.String()))
	}
	if !e.SVM.IsZero() {
		words = append(words, n.name(ctx, "/v1/svms/", e.SVM.String()))
	}
	if !e.VM.IsZero() {
		words = append(words, e.VM.String())
	}
	return orDash(strings.Join(words, " "))
}

// name returns a name, or the id if there is none. That it can not be asked for is no
// reason not to show an event.
func (n *namesOf) name(ctx context.Context, path, id string) string {
	if n.known == nil {
		n.known = map[string]string{}
		for _, of := range []string{"/v1/tenants", "/v1/svms"} {
			_ = n.conn.each(ctx, of, func(raw json.RawMessage) error { n.learn(of+"/", raw); return nil })
		}
	}
	if _, ok := n.known[path+id]; !ok {
		n.known[path+id] = id
		if raw, err := n.conn.get(ctx, path+id, nil); err == nil {
			n.learn(path, raw)
		}
	}
	return n.known[path+id]
}

func (n *namesOf) learn(path string, raw []byte) {
	var object struct{ ID, Name string }
	if json.Unmarshal(raw, &object) == nil && object.Name != "" {
		n.known[path+object.ID] = object.Name
	}
}
