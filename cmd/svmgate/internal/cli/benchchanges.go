package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/bench"
	"github.com/svmgate/svmgate/store"
)

// maxMoving is how many VMs move under --churn: enough that none moves often.
const maxMoving = 50_000

// manage lets the run reach the management plane, and finds what it may change.
func (f *benchFlags) manage(cmd *cobra.Command, conn *connection) error {
	if err := conn.open(cmd); err != nil {
		return err
	}
	// Each of the clients that report or switch keeps its connection.
	if transport, ok := conn.client.Transport.(*http.Transport); ok {
		transport.MaxIdleConnsPerHost = 64
	}
	admin := &bench.Admin{Reports: map[store.SVMID][]byte{}, Toggles: map[store.TenantID]bool{}}
	admin.Do = func(ctx context.Context, method, path string, body []byte) (int, error) {
		r := request{method: method, path: path}
		if body != nil {
			r.body, r.contentType = bytes.NewReader(body), "application/json"
		}
		_, err := conn.do(ctx, r)
		var refused *refusal
		if errors.As(err, &refused) {
			return refused.Status, nil
		}
		return http.StatusOK, err
	}
	ctx := cmd.Context()
	if f.cfg.Mix[bench.Report] > 0 {
		if err := conn.findReports(ctx, admin); err != nil {
			return err
		}
	}
	if f.cfg.Mix[bench.Activate] > 0 {
		if err := conn.findToggles(ctx, admin); err != nil {
			return err
		}
	}
	f.cfg.Admin = admin
	if f.churn == 0 {
		return nil
	}
	f.cfg.Churn = &bench.Churn{PerSecond: f.churn, Pairs: f.pairs, Put: conn.putPlaces}
	var err error
	f.cfg.Churn.VMs, err = conn.someVMs(ctx, maxMoving)
	return err
}

// findReports makes reports that say what the gateway knows: an SVM that reports
// nothing new stays as it is.
func (c *connection) findReports(ctx context.Context, admin *bench.Admin) error {
	return c.each(ctx, "/v1/svms", func(raw json.RawMessage) error {
		var s store.SVM
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		admin.Reports[s.ID] = []byte(`{"connectedAgents":` + strconv.Itoa(s.ConnectedAgents) + `}`)
		return nil
	})
}

func (c *connection) findToggles(ctx context.Context, admin *bench.Admin) error {
	return c.each(ctx, "/v1/tenants", func(raw json.RawMessage) error {
		var t store.Tenant
		if err := json.Unmarshal(raw, &t); err != nil {
			return err
		}
		if t.Type == store.Complete { // others can not be switched off
			admin.Toggles[t.ID] = t.Status == store.Active
		}
		return nil
	})
}

var errEnough = errors.New("enough")

func (c *connection) someVMs(ctx context.Context, most int) (vms []store.VM, err error) {
	err = c.each(ctx, "/v1/vms", func(raw json.RawMessage) error {
		var vm store.VM
		if err := json.Unmarshal(raw, &vm); err != nil {
			return err
		}
		if vms = append(vms, vm); len(vms) == most {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return vms, err
}

// putPlaces writes where VMs run, and nothing else of them.
func (c *connection) putPlaces(ctx context.Context, vms []store.VM) error {
	type place struct {
		BIOS store.BIOSID `json:"biosId"`
		Path store.Path   `json:"path"`
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i := range vms {
		if err := enc.Encode(map[string]place{"vm": {vms[i].BIOS, vms[i].Path}}); err != nil {
			return err
		}
	}
	body, err := c.do(ctx, request{
		method: http.MethodPost, path: "/v1/import", query: url.Values{}, contentType: "application/x-ndjson", body: &lines, timeout: transferTimeout,
	})
	if err != nil {
		return err
	}
	var result struct {
		Refused     []struct{ Reason string }
		RefusedMore int
	}
	if err := json.Unmarshal(body, &result); err != nil {
		return err
	}
	if len(result.Refused) > 0 {
		return fmt.Errorf("%s refused, such as: %s", plural(len(result.Refused)+result.RefusedMore, "VM"), result.Refused[0].Reason)
	}
	return nil
}
