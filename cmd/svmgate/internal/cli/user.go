package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/store"
)

func userCommand() *cobra.Command {
	cmd, conn := remote(group("user", "List, add and remove accounts"))
	cmd.Example = "  svmgate user list"
	cmd.AddCommand(userList(conn), userAdd(conn), userRemove(conn))
	return cmd
}

func userList(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List accounts", Args: exactly(),
		Example: "  svmgate user list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := conn.open(cmd); err != nil {
				return err
			}
			return printList(conn, cmd, "/v1/users", table.Row{"NAME", "ROLE", "CREATED", "SVMS"},
				func(u store.Account) table.Row {
					ids := make([]string, 0, len(u.SVMs))
					for _, id := range u.SVMs {
						ids = append(ids, id.String())
					}
					return table.Row{u.Name, u.Role, stamp(u.Created), orDash(strings.Join(ids, " "))}
				})
		},
	}
}

func userAdd(conn *connection) *cobra.Command {
	var (
		role  string
		svms  []string
		stdin bool
	)
	cmd := &cobra.Command{
		Use: "add NAME --role ROLE", Short: "Add an account", Args: exactly("NAME"),
		Long: `Add an account. Role admin may do everything, viewer may look at everything,
multitenancy may use the Integration Server's XML API, svm may report for the
SVMs given with --svm. The new password is asked for, or read from the first line
of standard input with --password-stdin.`,
		Example: "  pwgen 24 1 | svmgate user add watcher --role viewer --password-stdin",
		RunE: func(cmd *cobra.Command, args []string) error {
			if role == "" {
				return usage("--role is missing: want admin, multitenancy, svm or viewer")
			}
			var parsed store.Role
			if err := parsed.UnmarshalText([]byte(role)); err != nil {
				return usage("--role: %w", err)
			}
			if err := auth.CheckName(args[0]); err != nil {
				return usage("%w", err)
			}
			if err := conn.open(cmd); err != nil {
				return err
			}
			password, err := newPassword(cmd, args[0], stdin)
			if err != nil {
				return err
			}
			user := map[string]any{"name": args[0], "role": role, "password": password}
			if len(svms) > 0 {
				user["svms"] = svms
			}
			body, err := conn.send(cmd.Context(), "POST", "/v1/users", nil, user)
			if err != nil {
				return err
			}
			return conn.print(cmd, body, func(w io.Writer) error {
				var u store.Account
				if err := json.Unmarshal(body, &u); err != nil {
					return err
				}
				_, err := fmt.Fprintf(w, "account %s is added with role %s\n", u.Name, u.Role)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "admin, multitenancy, svm or viewer")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	cmd.Flags().StringSliceVar(&svms, "svm", nil, "for role svm: `ids` of the SVMs it may report for")
	return cmd
}

// newPassword reads the password of a new account: one line of standard input,
// or twice from the terminal.
func newPassword(cmd *cobra.Command, name string, stdin bool) (string, error) {
	if !stdin {
		first, err := askSecret(cmd, "New password of "+name+": ")
		if err != nil {
			return "", usage("no password for %s: give --password-stdin", name)
		}
		second, err := askSecret(cmd, "Again: ")
		if err != nil {
			return "", err
		}
		if first != second {
			return "", usage("the passwords differ")
		}
		return first, nil
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), auth.MaxPassword+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", usage("--password-stdin: the first line of standard input is empty")
	case len(line) > auth.MaxPassword:
		return "", usage("--password-stdin: a password has at most %d bytes", auth.MaxPassword)
	}
	return line, nil
}

func userRemove(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove an account", Args: exactly("NAME"),
		Example: "  svmgate user remove watcher",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := conn.open(cmd); err != nil {
				return err
			}
			if _, err := conn.send(cmd.Context(), "DELETE", "/v1/users/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			return conn.done(cmd, "account %s is removed", args[0])
		},
	}
}
