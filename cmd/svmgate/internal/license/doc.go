// Package license tells what SVMs are licensed for, what of that ends when, and whether
// the VMs of tenants are covered by it.
//
// # What a caller may rely on
//
//   - A licence that is past its end is expired, whatever the SVM says of it.
//   - Which SVMs are considered for a VM is the selector's decision (its filters F1 to F5
//     and F7), and so is which key matches a guest (P2): a [Survey] asks it, and
//     TestSurveyAgreesWithExplanations compares it with what is explained of each VM. The
//     state of an SVM makes no difference: one that is down for an hour is licensed.
//   - VMs are counted in one pass that takes no lock and waits for no writer. It shows no
//     single moment: what changes meanwhile may be counted as it was or as it is.
//   - Nothing is kept but the last survey, for who reads it page by page.
package license
