package vsphere

import (
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/svmgate/svmgate/store"
)

// TestGuests: every guest id that the API documents is Windows, Linux or on the
// list of what has no agent. A new one in a later govmomi fails here.
func TestGuests(t *testing.T) {
	other := []string{"dosGuest", "freebsd", "solaris", "os2Guest", "eComStation", "netware", "openServer", "unixWare", "darwin", "vmkernel", "otherGuest"}
	seen := map[store.AgentKind]int{}
	for _, id := range types.VirtualMachineGuestOsIdentifier("").Strings() {
		class, kind := guestOf(id, "")
		known := kind != store.AgentUnknown
		for _, start := range other {
			known = known || strings.HasPrefix(id, start)
		}
		if !known {
			t.Errorf("guest id %s is in no table", id)
		}
		if (kind == store.AgentUnknown) != (class == store.OSUnknown) {
			t.Errorf("guest id %s: class %v, kind %v", id, class, kind)
		}
		if strings.HasPrefix(id, "win") != (kind == store.AgentWindows) {
			t.Errorf("guest id %s is %v", id, kind)
		}
		seen[kind]++
	}
	if seen[store.AgentWindows] != len(windows) {
		t.Errorf("the API has %d ids of Windows, the table %d", seen[store.AgentWindows], len(windows))
	}
	for _, tt := range []struct {
		id, name string
		class    store.GuestOS
		kind     store.AgentKind
	}{
		{"windows2030srv_64Guest", "Microsoft Windows Server 2030 (64-bit)", store.OSServer, store.AgentWindows},
		{"windows13_64Guest", "Microsoft Windows 13 (64-bit)", store.OSDesktop, store.AgentWindows},
		{"novelDistro_64Guest", "Novel Linux (64-bit)", store.OSServer, store.AgentLinux},
		{"other3xLinux64Guest", "", store.OSServer, store.AgentLinux},
		{"otherGuest", "Other (32-bit)", store.OSUnknown, store.AgentUnknown},
		{"", "", store.OSUnknown, store.AgentUnknown},
	} {
		if class, kind := guestOf(tt.id, tt.name); class != tt.class || kind != tt.kind {
			t.Errorf("guestOf(%q, %q) = %v, %v, want %v, %v", tt.id, tt.name, class, kind, tt.class, tt.kind)
		}
	}
}
