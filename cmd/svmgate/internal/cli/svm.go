package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

func svmCommand() *cobra.Command {
	cmd, conn := remote(group("svm", "List, drain and forget SVMs"))
	cmd.Example = "  svmgate svm drain svm-03"
	cmd.AddCommand(svmList(conn),
		svmVerb(conn, "show", "GET", "", "Show an SVM, given by id or name"),
		svmDrain(conn),
		svmVerb(conn, "undrain", "POST", "/undrain", "Let a draining SVM take agents again"),
		svmForget(conn))
	return cmd
}

func svmList(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List SVMs", Args: exactly(),
		Example: "  svmgate svm list --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := conn.open(cmd); err != nil {
				return err
			}
			header := table.Row{"ID", "NAME", "ADDRESS", "VERSION", "STATE", "AGENTS", "CAPACITY", "LICENCE", "HOST", "LAST REPORT"}
			return printList(conn, cmd, "/v1/svms", header, func(s store.SVM) table.Row {
				capacity := s.Capacity
				if capacity == 0 {
					capacity = 1000 // which 0 means
				}
				return table.Row{
					s.ID, orDash(s.Name), s.Address, orDash(s.Version), s.State, s.ConnectedAgents,
					capacity, s.License.State, orDash(s.Path.Host), stamp(s.LastReport),
				}
			})
		},
	}
}

// svmVerb is a command that answers an SVM.
func svmVerb(conn *connection, verb, method, suffix, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " SVM", Short: short, Args: exactly("SVM"),
		Example: "  svmgate svm " + verb + " svm-03",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := conn.openSVM(cmd, args[0])
			if err != nil {
				return err
			}
			body, err := conn.send(cmd.Context(), method, path+suffix, nil, nil)
			if err != nil {
				return err
			}
			return conn.print(cmd, body, func(w io.Writer) error {
				if verb == "show" {
					return printObject(w, body)
				}
				var s store.SVM
				if err := json.Unmarshal(body, &s); err != nil {
					return err
				}
				_, err := fmt.Fprintf(w, "SVM %s (%s) is %s\n", orDash(s.Name), s.ID, s.State)
				return err
			})
		},
	}
}

func svmForget(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "forget SVM", Short: "Remove an SVM that will not come back", Args: exactly("SVM"),
		Example: "  svmgate svm forget svm-03",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := conn.openSVM(cmd, args[0])
			if err != nil {
				return err
			}
			if _, err := conn.send(cmd.Context(), "DELETE", path, nil, nil); err != nil {
				return err
			}
			return conn.done(cmd, "SVM %s is forgotten", args[0])
		},
	}
}

// openSVM opens the connection and returns the path of an SVM given by id or
// name. Names of SVMs need not be unique; one that is not is an error.
func (c *connection) openSVM(cmd *cobra.Command, given string) (string, error) {
	if err := c.open(cmd); err != nil {
		return "", err
	}
	id, err := c.svmID(cmd.Context(), given)
	return "/v1/svms/" + id, err
}

func (c *connection) svmID(ctx context.Context, given string) (string, error) {
	if id, err := store.ParseSVMID(given); err == nil {
		return id.String(), nil
	}
	var ids []string
	err := c.each(ctx, "/v1/svms", func(raw json.RawMessage) error {
		var s store.SVM
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if s.Name == given {
			ids = append(ids, s.ID.String())
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("there is no SVM named %q", given)
	case len(ids) > 1:
		return "", fmt.Errorf("%d SVMs are named %q; give an id: %s", len(ids), given, strings.Join(ids, ", "))
	}
	return ids[0], nil
}
