package vsphere

import (
	"strings"

	"github.com/svmgate/svmgate/store"
)

// windows maps the guest ids of the vSphere API (VirtualMachineGuestOsIdentifier)
// to the class of Windows. The names mislead: windows9Server64Guest is Windows
// Server 2016, winLonghorn is 2008, windows2019srvNext is 2022.
var windows = map[string]store.GuestOS{
	"win31Guest": store.OSDesktop, "win95Guest": store.OSDesktop, "win98Guest": store.OSDesktop, "winMeGuest": store.OSDesktop,
	"win2000ProGuest": store.OSDesktop, "winXPHomeGuest": store.OSDesktop, "winXPProGuest": store.OSDesktop,
	"winXPPro64Guest": store.OSDesktop, "winVistaGuest": store.OSDesktop, "winVista64Guest": store.OSDesktop,
	"windows7Guest": store.OSDesktop, "windows7_64Guest": store.OSDesktop, "windows8Guest": store.OSDesktop,
	"windows8_64Guest": store.OSDesktop, "windows9Guest": store.OSDesktop, "windows9_64Guest": store.OSDesktop,
	"windows11_64Guest": store.OSDesktop, "windows12_64Guest": store.OSDesktop,

	"winNTGuest": store.OSServer, "win2000ServGuest": store.OSServer, "win2000AdvServGuest": store.OSServer,
	"winNetWebGuest": store.OSServer, "winNetStandardGuest": store.OSServer, "winNetEnterpriseGuest": store.OSServer,
	"winNetDatacenterGuest": store.OSServer, "winNetBusinessGuest": store.OSServer, "winNetStandard64Guest": store.OSServer,
	"winNetEnterprise64Guest": store.OSServer, "winNetDatacenter64Guest": store.OSServer, "winLonghornGuest": store.OSServer,
	"winLonghorn64Guest": store.OSServer, "windows7Server64Guest": store.OSServer, "windows8Server64Guest": store.OSServer,
	"windows9Server64Guest": store.OSServer, "windowsHyperVGuest": store.OSServer, "windows2019srv_64Guest": store.OSServer,
	"windows2019srvNext_64Guest": store.OSServer, "windows2022srvNext_64Guest": store.OSServer,
}

// linux is how the guest ids of Linux distributions start, or, for the generic
// ones, what they contain.
var linux = []string{
	"almalinux", "amazonlinux", "asianux", "centos", "coreos", "crxPod", "crxSys", "debian", "fedora", "fusionos", "genericLinux",
	"kylinlinux", "mandrake", "mandriva", "miraclelinux", "nld9", "oes", "openSUSE", "opensuse", "oracleLinux", "pardus", "prolinux",
	"redhat", "rhel", "rockylinux", "sjds", "sles", "suse", "turboLinux", "ubuntu", "vmwarePhoton",
}

// guestOf returns the class and kind of a guest. Linux counts as a server: its
// guest ids do not tell, and licences for desktops are for desktop Windows. An
// id that is not in the table, as of a newer vCenter, is judged by the full name
// that vCenter gives it. What is neither Windows nor Linux is unknown.
func guestOf(id, fullName string) (store.GuestOS, store.AgentKind) {
	if class, ok := windows[id]; ok {
		return class, store.AgentWindows
	}
	for _, start := range linux {
		if strings.HasPrefix(id, start) {
			return store.OSServer, store.AgentLinux
		}
	}
	switch name := id + " " + fullName; {
	case strings.Contains(name, "Linux"):
		return store.OSServer, store.AgentLinux
	case strings.Contains(fullName, "Windows Server"):
		return store.OSServer, store.AgentWindows
	case strings.Contains(fullName, "Microsoft Windows"):
		return store.OSDesktop, store.AgentWindows
	}
	return store.OSUnknown, store.AgentUnknown
}
