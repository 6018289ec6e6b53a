package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

func tenantCommand() *cobra.Command {
	cmd, conn := remote(group("tenant", "List, create, activate and delete tenants"))
	cmd.Example = "  svmgate tenant deactivate acme"
	cmd.AddCommand(tenantList(conn), tenantShow(conn), tenantCreate(conn),
		tenantSwitch(conn, "activate", "Give a tenant's agents usable SVMs from their next question on"),
		tenantSwitch(conn, "deactivate", "Give a complete tenant's agents an SVM that does not exist, from their next question on"),
		tenantDelete(conn), tenantToken(conn), tenantHandover(conn))
	return cmd
}

func tenantList(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tenants", Args: exactly(),
		Example: "  svmgate tenant list --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := conn.open(cmd); err != nil {
				return err
			}
			return printList(conn, cmd, "/v1/tenants", table.Row{"ID", "NAME", "TYPE", "STATUS", "UPDATED"},
				func(t store.Tenant) table.Row { return table.Row{t.ID, t.Name, t.Type, t.Status, stamp(t.Updated)} })
		},
	}
}

// newTenant are the flags of tenant create. What is not given is not sent, so
// that the gateway's defaults hold.
type newTenant struct {
	id, kind, description, tag, algorithm, path, load, agentVersion string
	subnets                                                         []string
	protection, unlocked, active                                    bool
}

func tenantCreate(conn *connection) *cobra.Command {
	var t newTenant
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a tenant, inactive unless --active", Args: exactly("NAME"),
		Example: "  svmgate tenant create acme --type complete --subnet 10.1.0.0/16 --tag gold",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := conn.open(cmd); err != nil {
				return err
			}
			body, err := conn.send(cmd.Context(), "POST", "/v1/tenants", nil, t.body(cmd, args[0]))
			if err != nil {
				return err
			}
			return conn.printTenant(cmd, body, "created")
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.id, "id", "", "id of the tenant (default: a new one)")
	f.StringVar(&t.kind, "type", "complete", "complete or simple")
	f.StringVar(&t.description, "description", "", "for people")
	f.StringSliceVar(&t.subnets, "subnet", nil, "networks of the tenant in CIDR notation, for firewall advice")
	f.StringVar(&t.algorithm, "algorithm", "standard", "standard or extended")
	f.StringVar(&t.path, "path", "host", "scope of the extended algorithm: host, cluster, zone or ignore")
	f.StringVar(&t.load, "load", "balanced", "balanced or fewest")
	f.StringVar(&t.tag, "tag", "", "agents use only SVMs that list this tag")
	f.BoolVar(&t.protection, "protection", false, "agents use only SVMs with encryption on")
	f.StringVar(&t.agentVersion, "agent-version", "", "stands in for agents whose version nobody told")
	f.BoolVar(&t.unlocked, "unlocked", false, "let agents choose tag, protection, algorithm and path themselves")
	f.BoolVar(&t.active, "active", false, "activate it at once")
	return cmd
}

// body is the tenant as the API reads it.
func (t *newTenant) body(cmd *cobra.Command, name string) map[string]any {
	status := store.Inactive
	if t.active {
		status = store.Active
	}
	type field struct {
		flag, name string
		value      any
	}
	given := func(fields ...field) map[string]any {
		out := map[string]any{}
		for _, f := range fields {
			if cmd.Flags().Changed(f.flag) {
				out[f.name] = f.value
			}
		}
		return out
	}
	out := given(field{"id", "id", t.id}, field{"type", "type", t.kind}, field{"description", "description", t.description},
		field{"subnet", "subnets", t.subnets}, field{"active", "status", status})
	out["name"] = name
	discovery := given(field{"algorithm", "algorithm", t.algorithm}, field{"path", "path", t.path}, field{"load", "load", t.load},
		field{"tag", "tag", t.tag}, field{"protection", "protection", t.protection},
		field{"agent-version", "agentVersion", t.agentVersion}, field{"unlocked", "locked", !t.unlocked})
	if len(discovery) > 0 {
		out["discovery"] = discovery
	}
	return out
}

func tenantSwitch(conn *connection, verb, short string) *cobra.Command {
	var (
		wait    string
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use: verb + " TENANT", Short: short, Args: exactly("TENANT"),
		Example: "  svmgate tenant " + verb + " acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := conn.openTenant(cmd, args[0])
			if err != nil {
				return err
			}
			query := url.Values{}
			if wait != "" {
				query.Set("wait", wait)
				query.Set("timeout", timeout.String())
			}
			// The gateway may take all of the timeout before it answers.
			body, err := conn.do(cmd.Context(), request{method: "POST", path: path + "/" + verb, query: query, timeout: requestTimeout + timeout})
			if err != nil {
				return err
			}
			if err := conn.printTenant(cmd, body, verb+"d"); err != nil {
				return err
			}
			return unconfirmed(body)
		},
	}
	cmd.Flags().StringVar(&wait, "wait", "", "answer only once a `majority`, or all, of the gateways have it on disk; exit code 1 if they do not in time")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait at most")
	return cmd
}

// unconfirmed is the error of a change that too few gateways have acknowledged.
func unconfirmed(body []byte) error {
	var told struct{ AppliedBy, Missing []string }
	if err := json.Unmarshal(body, &told); err != nil || len(told.Missing) == 0 {
		return err
	}
	return fmt.Errorf("the change is made, but not all acknowledged it in time: %s did, %s did not",
		strings.Join(told.AppliedBy, ", "), strings.Join(told.Missing, ", "))
}

func tenantDelete(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "delete TENANT", Short: "Delete a tenant with its VMs and its agent token", Args: exactly("TENANT"),
		Example: "  svmgate tenant delete acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := conn.openTenant(cmd, args[0])
			if err != nil {
				return err
			}
			if _, err := conn.send(cmd.Context(), "DELETE", path, nil, nil); err != nil {
				return err
			}
			return conn.done(cmd, "tenant %s is deleted", args[0])
		},
	}
}

func tenantToken(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "token TENANT", Short: "Make a new token for a tenant's agents, shown once", Args: exactly("TENANT"),
		Example: "  svmgate tenant token acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := conn.openTenant(cmd, args[0])
			if err != nil {
				return err
			}
			body, err := conn.send(cmd.Context(), "POST", path+"/token", nil, nil)
			if err != nil {
				return err
			}
			return conn.print(cmd, body, func(w io.Writer) error {
				var t struct {
					Token              string     `json:"token"`
					PreviousValidUntil store.Time `json:"previousValidUntil"`
				}
				if err := json.Unmarshal(body, &t); err != nil {
					return err
				}
				if _, err := fmt.Fprintln(w, t.Token); err != nil {
					return err
				}
				note := "There was no token before."
				if !t.PreviousValidUntil.IsZero() {
					note = "The token before stays valid until " + stamp(t.PreviousValidUntil) + "."
				}
				cmd.PrintErrln("This token is not shown again. " + note)
				return nil
			})
		},
	}
}

// openTenant opens the connection and returns the path of a tenant given by id
// or name.
func (c *connection) openTenant(cmd *cobra.Command, given string) (string, error) {
	if err := c.open(cmd); err != nil {
		return "", err
	}
	id, err := c.tenantID(cmd.Context(), given)
	return "/v1/tenants/" + id, err
}

func (c *connection) tenantID(ctx context.Context, given string) (string, error) {
	if id, err := store.ParseTenantID(given); err == nil {
		return id.String(), nil
	}
	body, err := c.get(ctx, "/v1/tenants", url.Values{"name": {given}})
	if err != nil {
		return "", err
	}
	var found struct{ Items []store.Tenant }
	if err := json.Unmarshal(body, &found); err != nil {
		return "", err
	}
	if len(found.Items) != 1 {
		return "", fmt.Errorf("there is no tenant named %q", given)
	}
	return found.Items[0].ID.String(), nil
}

func (c *connection) printTenant(cmd *cobra.Command, body []byte, verb string) error {
	return c.print(cmd, body, func(w io.Writer) error {
		var t store.Tenant
		if err := json.Unmarshal(body, &t); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "tenant %s (%s) is %s: %s, %s\n", t.Name, t.ID, verb, t.Type, t.Status)
		return err
	})
}

// done says what was done. JSON has nothing to say where the API answers
// nothing.
func (c *connection) done(cmd *cobra.Command, format string, args ...any) error {
	if c.output == "json" {
		return nil
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

func stamp(t store.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
