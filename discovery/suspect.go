package discovery

import "github.com/svmgate/svmgate/store"

// Suspect says whether a probe finds that an SVM can not be reached. It holds until it is
// said otherwise, or the SVM is forgotten; other gateways are told.
func (s *Selector) Suspect(id store.SVMID, suspect bool) { _, _ = id, suspect }
