package discovery

import (
	"encoding/json"
	"strconv"

	"github.com/svmgate/svmgate/store"
)

// AppendJSON appends the answer in the form in which the daemon sends it, such as
//
//	{"result":"assigned","svms":[{"id":"…","address":"10.9.0.7","version":"6.0","local":true}],"refreshSeconds":300,"revision":4503599627370495}
//
// It does not allocate if dst has room.
func (a *Answer) AppendJSON(dst []byte) []byte {
	return append(a.AppendFields(append(dst, '{')), '}')
}

// AppendFields appends the members of the JSON object of [Answer.AppendJSON],
// without braces, for callers that add members of their own.
func (a *Answer) AppendFields(dst []byte) []byte {
	dst = append(dst, `"result":"`...)
	dst = append(dst, a.Result.String()...)
	dst = append(dst, `","svms":[`...)
	for i := range a.SVMs() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, a.picks[i].fragment...)
		if a.picks[i].Local {
			dst = append(dst, `,"local":true`...)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `],"refreshSeconds":`...)
	dst = strconv.AppendInt(dst, int64(a.RefreshSeconds), 10)
	dst = append(dst, `,"revision":`...)
	return strconv.AppendUint(dst, a.Revision, 10)
}

// appendFragment appends the JSON of an SVM, but for what depends on the
// question and the closing brace.
func appendFragment(dst []byte, svm *store.SVM) []byte {
	dst = append(dst, `{"id":"`...)
	dst = store.AppendID(dst, svm.ID)
	dst = append(dst, `","address":`...)
	dst = appendString(dst, svm.Address)
	if svm.Version != "" {
		dst = append(dst, `,"version":`...)
		dst = appendString(dst, svm.Version)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // a string always has a JSON form
		return append(dst, `""`...)
	}
	return append(dst, text...)
}
