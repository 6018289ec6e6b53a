package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// crowd is an inventory of one SVM and so many VMs without tenant.
func crowd(t *testing.T, vms int) string {
	t.Helper()
	text := "svms:\n- {id: 00000000-0000-0000-0000-0000000000a1, name: svm-1, address: 127.0.0.1, version: \"6.0\", pinned: true}\nvms:\n"
	for i := range vms {
		text += fmt.Sprintf("- {biosId: %v}\n", store.BIOSID{15: byte(i + 1)})
	}
	return write(t, "crowd.yaml", text)
}

func (r *running) askFor(vm int) (int, string) {
	r.t.Helper()
	return r.get("agent", fmt.Sprintf("/v1/agents/%v/svm", store.BIOSID{15: byte(vm + 1)}), "")
}

// load is what a gateway estimates an SVM to have.
func (r *running) load() int {
	e := r.assembly.selector.Explain(&discovery.Query{BIOS: store.BIOSID{15: 1}})
	if len(e.Candidates) != 1 {
		return -1
	}
	return e.Candidates[0].Load
}

// What one gateway sends to an SVM, the others know soon; and how many they are.
func TestGatewaysTellEachOther(t *testing.T) {
	const vms = 7
	a := start(t, map[string]string{"node-name": "a", "cluster-addr": "127.0.0.1:0", "sample": crowd(t, vms), "svm-probe": "tcp:1"})
	b := start(t, join("b", nil, a))
	eventually(t, "they know of each other", func() bool {
		return a.assembly.replica.Gateways() == 2 && b.assembly.replica.Gateways() == 2
	})
	// Counting begins with the first word of a gateway that was there before, once the
	// SVM is known, which at the very first it may not be.
	eventually(t, "the younger one has heard the other", func() bool { return b.assembly.replica.Sightings().Heard > 1 })
	for i := range vms {
		if status, body := a.askFor(i); status != 200 || !strings.Contains(body, `"assigned"`) {
			t.Fatalf("VM %d: %d %s", i, status, body)
		}
	}
	eventually(t, "the other counts them", func() bool { return b.load() == vms })
	eventually(t, "this one counts them once", func() bool { return a.load() == vms })
	for r, says := range map[*running]string{a: `what="told"} `, b: `what="heard"} `} {
		_, page := r.get("ops", "/metrics", "")
		if line := "svmgate_cluster_sightings_total{" + says; !strings.Contains(page, line) || strings.Contains(page, line+"0\n") {
			t.Errorf("the metrics of %s say nothing of what was %s", r.settings.NodeName, says)
		}
	}

	// What one finds that the SVM can not be reached, the other believes.
	suspects := func() string {
		_, page := b.get("ops", "/metrics", "")
		_, after, _ := strings.Cut(page, "\nsvmgate_svms_suspect ")
		count, _, _ := strings.Cut(after, "\n")
		return count
	}
	eventually(t, "the other believes what was probed", func() bool { return suspects() == "1" })
}

// The burst is served, the rest is put off; who has an SVM is not.
func TestStormsAreBounded(t *testing.T) {
	r := start(t, map[string]string{"sample": crowd(t, 8), "admission-rate": "0.01", "admission-burst": "5"})
	for i := range 8 {
		want := http.StatusOK
		if i >= 5 {
			want = http.StatusTooManyRequests
		}
		resp, err := r.client.Get(r.plane("agent").url() + fmt.Sprintf("/v1/agents/%v/svm", store.BIOSID{15: byte(i + 1)}))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || (resp.Header.Get("Retry-After") == "") != (want == 200) {
			t.Errorf("VM %d: %d, Retry-After %q; want %d", i, resp.StatusCode, resp.Header.Get("Retry-After"), want)
		}
	}
	if status, _ := r.askFor(0); status != 200 {
		t.Errorf("one that has an SVM: %d", status)
	}
	if _, page := r.get("ops", "/metrics", ""); !strings.Contains(page, "\nsvmgate_agents_put_off_total 3\n") ||
		!strings.Contains(page, `svmgate_agents_sent_total{why="new"} 5`) || !strings.Contains(page, `svmgate_agent_requests_total{result="later"} 3`) {
		t.Error("the metrics do not count 3 that were put off, and 5 that were sent")
	}
}
