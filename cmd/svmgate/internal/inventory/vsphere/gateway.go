package vsphere

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
)

// gateway is where --import sends an inventory.
type gateway struct {
	server, user, caFile string
}

func (g *gateway) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&g.server, "server", "http://127.0.0.1:7271", "management address of the gateway, for --import")
	flags.StringVar(&g.user, "user", "", "account of the gateway, as `name[:password]` (else SVMGATE_USER and SVMGATE_PASSWORD)")
	flags.StringVar(&g.caFile, "server-ca-file", "", "PEM `file` of the authorities that sign the gateway's certificate (default: the system's)")
}

const (
	importTimeout = time.Hour // of a gateway that takes the whole inventory
	maxAnswer     = 64 << 20
)

// send imports items, and prints what became of them.
func (g *gateway) send(cmd *cobra.Command, items []inventory.Item) error {
	request, err := g.request(items)
	if err != nil {
		return err
	}
	client, err := g.client()
	if err != nil {
		return err
	}
	response, err := client.Do(request.WithContext(cmd.Context()))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", g.server, err)
	}
	var result struct {
		Changed, Unchanged, RefusedMore int
		Refused                         []inventory.Refusal
		Title, Detail                   string // of a problem
	}
	err = json.Unmarshal(answer, &result)
	switch {
	case response.StatusCode != http.StatusOK && result.Detail != "":
		return fmt.Errorf("%s: %s", response.Status, result.Detail)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answered %s", request.URL.Redacted(), response.Status)
	case err != nil:
		return fmt.Errorf("%s did not answer as a gateway does: %w", request.URL.Redacted(), err)
	}
	for _, r := range result.Refused {
		cmd.PrintErrf("record %d: %s\n", r.Line, r.Reason)
	}
	refused := len(result.Refused) + result.RefusedMore
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d changed, %d unchanged, %d refused\n", result.Changed, result.Unchanged, refused); err != nil {
		return err
	}
	if refused > 0 {
		return fmt.Errorf("%d records were refused", refused)
	}
	return nil
}

// account checks the flags, so that nothing is asked of a vCenter in vain.
func (g *gateway) account() (base *url.URL, name, password string, err error) {
	base, err = url.Parse(g.server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil {
		return nil, "", "", usage("--server: must be like http://127.0.0.1:7271; the account belongs in --user")
	}
	name, password, given := strings.Cut(g.user, ":")
	if name == "" {
		name = os.Getenv("SVMGATE_USER")
	}
	if !given {
		password, given = os.LookupEnv("SVMGATE_PASSWORD")
	}
	if name == "" || !given {
		return nil, "", "", usage("--import needs an account: give --user name:password, or SVMGATE_USER and SVMGATE_PASSWORD")
	}
	return base, name, password, nil
}

func (g *gateway) request(items []inventory.Item) (*http.Request, error) {
	base, name, password, err := g.account()
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := inventory.Write(&body, inventory.NDJSON, items); err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPost, base.JoinPath("v1/import").String(), &body)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(name, password)
	request.Header.Set("Content-Type", inventory.NDJSON.MediaType())
	return request, nil
}

func (g *gateway) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if g.caFile != "" {
		pem, err := os.ReadFile(g.caFile)
		if err != nil {
			return nil, usage("--server-ca-file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, usage("--server-ca-file %s: has no PEM certificate", g.caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport: transport,
		Timeout:   importTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the gateway answered with a redirect, which would take the password elsewhere")
		},
	}, nil
}
