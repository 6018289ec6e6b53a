package main

import (
	"errors"
	"fmt"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// What the program prints.
func Example() {
	main()

	// Output:
	// acme: assigned, 10.9.0.2
	// zeta: assigned, 10.9.0.2
	// acme: inactive, 192.0.2.1
	// zeta: assigned, 10.9.0.2
}

// Ids of the examples below, in the form that people write.
const (
	bios   = "4c4c4544-0035-104e-804d-b9c04f4d3358"
	gold   = "0195a1b2-0000-7000-8000-00000000601d"
	silver = "0195a1b2-0000-7000-8000-00000000511f"
)

// newSelector returns a selector over a table with a VM of no tenant, and two
// SVMs: gold lists a tag, silver has no licence. Neither needs to report.
func newSelector() (*discovery.Selector, *store.Table) {
	table, err := store.Open(store.Config{})
	check(err)
	check(table.Update(func(tx *store.Tx) error {
		id, err := store.ParseBIOSID(bios)
		check(err)
		_, err = tx.PutVM(store.VM{BIOS: id})
		check(err)
		for name, text := range map[string]string{"gold": gold, "silver": silver} {
			id, err := store.ParseSVMID(text)
			check(err)
			svm := store.SVM{ID: id}
			svm.Name, svm.Address, svm.Pinned, svm.Version = name, name+".svm.example", true, "6.0"
			if name == "gold" {
				svm.Tags, svm.License.State = []string{"gold"}, store.LicenseValid
			}
			_, err = tx.PutSVM(svm)
			check(err)
		}
		return nil
	}))
	selector, err := discovery.New(discovery.Config{Table: table})
	check(err)
	return selector, table
}

// A registered VM without a tenant is served with default settings. Its agent
// has no tag, so gold, which lists one, is not for it; silver has no licence and
// is the last resort.
func Example_select() {
	selector, table := newSelector()
	defer table.Close()
	defer selector.Close()

	id, err := store.ParseBIOSID("{4C4C4544-0035-104E-804D-B9C04F4D3358}") // as some platforms write it
	check(err)
	query := discovery.Query{BIOS: id, Version: store.ProductVersion{Major: 12, Minor: 0}, OS: store.OSServer}
	var answer discovery.Answer
	selector.Select(&query, &answer)
	fmt.Println(answer.Result)
	for _, pick := range answer.SVMs() {
		fmt.Println(pick.SVM.Name, pick.SVM.Address)
	}

	query.Failed = []store.SVMID{answer.SVMs()[0].SVM.ID} // it could not be reached
	selector.Select(&query, &answer)
	fmt.Println(answer.Result, len(answer.SVMs()))

	query.BIOS = store.BIOSID{1} // nobody registered this one
	selector.Select(&query, &answer)
	fmt.Println(answer.Result)

	// Output:
	// assigned
	// silver silver.svm.example
	// no_svm 0
	// not_registered
}

// Explain says of every SVM why it was removed, or where it ranks.
func Example_explain() {
	selector, table := newSelector()
	defer table.Close()
	defer selector.Close()

	id, err := store.ParseBIOSID(bios)
	check(err)
	explanation := selector.Explain(&discovery.Query{BIOS: id})
	for _, candidate := range explanation.Candidates {
		fmt.Printf("%s: rank %d, removed by %q\n", candidate.Name, candidate.Rank, candidate.Removed)
	}

	// Output:
	// silver: rank 1, removed by ""
	// gold: rank 0, removed by "F3 tag"
}

// An answer is appended as JSON to a buffer of the caller's.
func Example_appendJSON() {
	selector, table := newSelector()
	defer table.Close()
	defer selector.Close()

	id, err := store.ParseBIOSID(bios)
	check(err)
	var answer discovery.Answer
	selector.Decide(&discovery.Query{BIOS: id, Failed: []store.SVMID{}}, &answer)
	answer.RefreshSeconds, answer.Revision = 300, 1 // these depend on the VM and the table
	fmt.Printf("%s\n", answer.AppendJSON(nil))

	// Output:
	// {"result":"assigned","svms":[{"id":"0195a1b2-0000-7000-8000-00000000511f","address":"silver.svm.example","version":"6.0"}],"refreshSeconds":300,"revision":1}
}

// A wrong setting is named.
func Example_wrongSetting() {
	_, err := discovery.New(discovery.Config{})
	var wrong *discovery.ConfigError
	fmt.Println(errors.As(err, &wrong), err)

	// Output:
	// true discovery: Table must not be nil
}
