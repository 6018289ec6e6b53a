package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

func clusterCommand() *cobra.Command {
	cmd, conn := remote(group("cluster", "Look at the gateways that share the table, and change their keys"))
	cmd.Example = "  svmgate cluster digest"
	keys := group("keys", "List and change the keys that encrypt what gateways tell each other")
	keys.Example = "  svmgate cluster keys list"
	keys.AddCommand(clusterKeysList(conn), clusterKeysGenerate(),
		clusterKeysChange(conn, "add", "Let every gateway decrypt with a new key, too"),
		clusterKeysChange(conn, "use", "Let every gateway encrypt with a key that all have"),
		clusterKeysChange(conn, "remove", "Let every gateway forget a key that none uses"))
	cmd.AddCommand(clusterMembers(conn), clusterDigest(conn), keys)
	return cmd
}

// clusterView is what the command line reads of /v1/cluster.
type clusterView struct {
	Enabled bool
	Equal   bool
	Members []struct {
		Name, Addr, State              string
		Self                           bool
		Seen, Exchanged                store.Time
		Differing                      int
		LagSeconds, ClockOffsetSeconds float64
	}
	Digests []struct{ Node, Root, Error string }
}

var errAlone = errors.New("the gateway shares its table with no other: it has no cluster-addr")

// cluster reads /v1/cluster.
func (c *connection) cluster(cmd *cobra.Command, digests string) (body []byte, view clusterView, err error) {
	if err := c.open(cmd); err != nil {
		return nil, view, err
	}
	if body, err = c.get(cmd.Context(), "/v1/cluster", url.Values{"digests": {digests}}); err != nil {
		return nil, view, err
	}
	if err := json.Unmarshal(body, &view); err != nil {
		return nil, view, fmt.Errorf("GET /v1/cluster: %w", err)
	}
	if !view.Enabled {
		return nil, view, errAlone
	}
	return body, view, nil
}

func clusterMembers(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "members", Short: "List the gateways, and how far each is behind", Args: exactly(),
		Long: "List the gateways that this one knows, and how far each is behind.\n\n" +
			"DIFFERING is how many of 4,096 parts of the table differed from this gateway's when the two last\n" +
			"compared, LAG how long they have been differing, CLOCK how far its clock is from this gateway's.",
		Example: "  svmgate cluster members --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, view, err := conn.cluster(cmd, "false")
			if err != nil {
				return err
			}
			return conn.print(cmd, body, func(w io.Writer) error {
				rows := make([]table.Row, 0, len(view.Members))
				for _, m := range view.Members {
					row := table.Row{m.Name, m.Addr, m.State, "self", "-", "-", stamp(m.Seen)}
					if !m.Self {
						row[3], row[4] = m.Differing, seconds(m.LagSeconds)
						row[5] = seconds(m.ClockOffsetSeconds)
					}
					rows = append(rows, row)
				}
				return printTable(w, table.Row{"NAME", "ADDRESS", "STATE", "DIFFERING", "LAG", "CLOCK", "SEEN"}, rows)
			})
		},
	}
}

// seconds writes a number of them as people do.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

func clusterDigest(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "digest", Short: "Compare the tables of all gateways", Args: exactly(),
		Long: "Ask every gateway for a digest of its table. The exit code is 0 if all are equal, and 1 if one differs\n" +
			"or does not answer.",
		Example: "  svmgate cluster digest && echo alike",
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, view, err := conn.cluster(cmd, "true")
			if err != nil {
				return err
			}
			err = conn.print(cmd, body, func(w io.Writer) error {
				rows := make([]table.Row, 0, len(view.Digests))
				for _, d := range view.Digests {
					rows = append(rows, table.Row{d.Node, orDash(d.Root), orDash(d.Error)})
				}
				return printTable(w, table.Row{"NODE", "DIGEST", "ERROR"}, rows)
			})
			if err == nil && !view.Equal {
				err = errors.New("the digests are not equal")
			}
			return err
		},
	}
}

func clusterKeysList(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List which keys each gateway has, the one that encrypts first", Args: exactly(),
		Example: "  svmgate cluster keys list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := conn.open(cmd); err != nil {
				return err
			}
			body, err := conn.get(cmd.Context(), "/v1/cluster/keys", nil)
			if err != nil {
				return err
			}
			return conn.printKeys(cmd, body)
		},
	}
}

func clusterKeysChange(conn *connection, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " FILE", Short: short, Args: exactly("FILE"),
		Long: short + ".\n\nFILE has the key, as svmgate cluster keys generate writes it; - reads it from standard input. The exit\n" +
			"code is 0 once every known gateway has acknowledged, and 1 otherwise; repeating the command does no harm.",
		Example: "  svmgate cluster keys " + verb + " new.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := readKey(cmd, args[0])
			if err != nil {
				return err
			}
			if err := conn.open(cmd); err != nil {
				return err
			}
			body, err := conn.send(cmd.Context(), "POST", "/v1/cluster/keys", nil, map[string]string{"change": verb, "key": key})
			if err != nil {
				return err
			}
			return conn.printKeys(cmd, body)
		},
	}
}

// printKeys shows what each gateway says, and fails if one did not answer.
func (c *connection) printKeys(cmd *cobra.Command, body []byte) error {
	var said struct {
		Members []struct {
			Node  string
			Keys  []string
			Error string
		}
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return fmt.Errorf("/v1/cluster/keys: %w", err)
	}
	silent := 0
	for _, m := range said.Members {
		if m.Error != "" {
			silent++
		}
	}
	err := c.print(cmd, body, func(w io.Writer) error {
		rows := make([]table.Row, 0, len(said.Members))
		for _, m := range said.Members {
			rows = append(rows, table.Row{m.Node, orDash(strings.Join(m.Keys, " ")), orDash(m.Error)})
		}
		return printTable(w, table.Row{"NODE", "KEYS", "ERROR"}, rows)
	})
	if err == nil && silent > 0 {
		err = fmt.Errorf("%s of %d did not acknowledge", plural(silent, "gateway"), len(said.Members))
	}
	return err
}
