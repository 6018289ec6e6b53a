package tenancy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// svms is step 2: SVMs that the tenant's agents may use.
func (s *survey) svms() Step {
	step := Step{Title: "SVMs for its agents", State: StepDone, Found: s.upText()}
	if s.vms == 0 {
		return s.svmsBeforeVMs(step)
	}
	if s.unserved > 0 {
		step.State = StepMissing
		step.Found += fmt.Sprintf("; %s %s none: of %s, for one of them, %s",
			s.share(s.unserved), either(s.unserved, "has", "have"), several(s.count, "SVM"), cmp.Or(s.removedBy(), "none is there"))
		step.Remedy = "see what keeps SVMs from it: svmgate explain " + s.stranded.String()
		if s.count == 0 {
			step.Remedy = addSVMs
		}
	}
	if s.remote > 0 {
		step.Found += fmt.Sprintf("; %s %s host", s.share(s.remote), either(s.remote, "has no SVM on its", "have no SVM on their"))
		switch s.unplaced {
		case 0:
		case s.remote:
			step.Found += ", because " + either(s.remote, "its", "their") + " host is not known"
		default:
			step.Found += fmt.Sprintf(", %s of them because their host is not known", figure(s.unplaced))
		}
	}
	if s.passed > 0 {
		step.Found += fmt.Sprintf("; %s of rare kinds were not looked at", several(s.passed, "VM"))
	}
	step.Found += s.mixedPool()
	return step
}

const addSVMs = "add them: svmgate import FILE, or PUT /v1/svms/ID"

// svmsBeforeVMs completes step 2 while no VM is registered: what a VM could use of which
// nothing is known.
func (s *survey) svmsBeforeVMs(step Step) Step {
	d := &s.tenant.Discovery
	switch {
	case s.count == 0:
		step.State, step.Remedy = StepMissing, addSVMs
	case len(s.up()) > 0:
	case d.Algorithm == store.Extended && d.Path != store.PathIgnore:
		step.State = StepUnknown
		step.Found = fmt.Sprintf("which of %s its agents may use depends on where its VMs run, and none is registered",
			several(s.count, "SVM"))
		step.Remedy = "register its VMs, with their hosts (step 5)"
	default:
		step.State = StepMissing
		step.Found += fmt.Sprintf(": of %s, %s", several(s.count, "SVM"), s.removedBy())
		step.Remedy = "change the SVMs (svmgate svm list shows them) or the tenant's settings (step 3)"
	}
	return step
}

// upText says which SVMs are there for the tenant's agents.
func (s *survey) upText() string {
	if s.count == 0 {
		return "there is no SVM"
	}
	up, unlicensed := s.up(), 0
	versions, hosts := map[string]bool{}, map[string]bool{}
	for _, svm := range up {
		versions[cmp.Or(svm.SVMFacts.Version, "unknown")] = true
		if svm.Path.Host != "" {
			hosts[svm.Path.Host] = true
		}
		if !svm.Licensed {
			unlicensed++
		}
	}
	text := "no SVM is up for this tenant's agents"
	if n := len(up); n > 0 {
		text = fmt.Sprintf("%s of %s %s %s up for this tenant's agents", several(n, "SVM"), either(len(versions), "version", "versions"),
			listed(slices.Sorted(maps.Keys(versions))), either(n, "is", "are"))
	}
	if len(hosts) > 0 {
		text += " on " + several(len(hosts), "host")
	}
	if unlicensed > 0 {
		text += fmt.Sprintf(", %s without a valid licence", figure(unlicensed))
	}
	if n := s.waiting(); n > 0 {
		text += fmt.Sprintf("; %s more that they could use %s down or draining", figure(n), either(n, "is", "are"))
	}
	return text
}

// mixedPool notes what Windows guests need: their agents of version 5.2 use SVMs of
// version 5.2, which stand beside those of 6.0 (topic 259229). If it is known which
// version their agents have, it is no guess: then F1 tells.
func (s *survey) mixedPool() string {
	if s.guests == 0 {
		return ""
	}
	old := store.ProductVersion{Major: 5, Minor: 2}
	if slices.ContainsFunc(s.up(), func(svm *store.SVMEntry) bool { return svm.Version == old }) {
		return ""
	}
	return fmt.Sprintf("; %s %s there, and no SVM of version 5.2, which agents of version 5.2 need",
		several(s.guests, "Windows guest"), either(s.guests, "is", "are"))
}

// agents is step 4. An agent is known once it has asked; that one has not, says nothing.
func (s *survey) agents() Step {
	step := Step{Title: "Agents installed", State: StepUnknown}
	switch {
	case s.vms == 0:
		step.Found = "no VM is registered whose agent could be known"
	case s.asked == s.vms:
		step.State, step.Found = StepDone, "the agents of all "+several(s.vms, "VM")+" were given an SVM by this gateway"
		return step
	default:
		step.Found = fmt.Sprintf("the agents of %s were given an SVM by this gateway since it started; it can not tell of the others",
			s.share(s.asked))
		if s.asked == 0 {
			step.Found = "no agent of its " + several(s.vms, "VM") + " was given an SVM by this gateway since it started; it can not tell more"
		}
		if s.tenant.Type == store.Complete && s.tenant.Status == store.Inactive {
			step.Found += " while the tenant is inactive"
		}
	}
	step.Remedy = "install Network Agent and Light Agent on its VMs, and move the VMs to the virtual Administration Server"
	if s.tenant.Type == store.Simple {
		step.Remedy = "install Network Agent and Light Agent on its VMs"
	}
	return step
}

// registered is step 5.
func (s *survey) registered() Step {
	step := Step{Title: "VMs registered", State: StepDone, Found: several(s.vms, "VM") + " " + either(s.vms, "is", "are") + " registered"}
	if s.vms == 0 {
		step.State, step.Found = StepMissing, "no VM is registered"
		step.Remedy = "register them: svmgate import FILE, or POST /api/2.0/virtualization/tenants/" + s.tenant.ID.String() + "/vms/register"
	}
	return step
}

// share writes so many of the tenant's VMs: "14 of 1,000 VMs".
func (s *survey) share(n int) string { return figure(n) + " of " + several(s.vms, "VM") }
