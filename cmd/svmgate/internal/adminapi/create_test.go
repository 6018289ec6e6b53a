package adminapi

import "testing"

// TestIfNoneMatch creates with PUT and If-None-Match, which must never replace
// what somebody else has made.
func TestIfNoneMatch(t *testing.T) {
	w := newWorld(t)
	const other = "00000000-0000-0000-0000-0000000000ff"
	for _, tt := range []struct{ made, missing, body string }{
		{"/v1/svms/" + ownSVM.String(), "/v1/svms/" + other, `{"address":"10.9.0.9"}`},
		{"/v1/vms/" + w.vm.String(), "/v1/vms/" + other, `{"name":"2"}`},
	} {
		before := w.must(200, "GET", tt.made, "")
		tag := before.header.Get("ETag")
		for _, header := range []string{"*", tag, `"1", ` + tag, "W/" + tag} {
			if a := w.do("PUT", tt.made, tt.body, "If-None-Match", header); a.status != 412 || a.code() != "precondition_failed" {
				t.Errorf("PUT %s with If-None-Match %s: %d %s, want 412", tt.made, header, a.status, a.body)
			}
		}
		if now := w.must(200, "GET", tt.made, ""); now.body != before.body {
			t.Errorf("%s became %s, want it as it was: %s", tt.made, now.body, before.body)
		}
		w.must(200, "PUT", tt.made, tt.body, "If-None-Match", `"1"`)
		w.must(201, "PUT", tt.missing, tt.body, "If-None-Match", "*")
	}
}
