package bench

// Page writes the result as a page that leans on nothing outside of itself.
func (r *Result) Page() ([]byte, error) { return nil, nil }
