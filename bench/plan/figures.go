package plan

import "slices"

// given lists the input. What is as [Defaults] has it counts as assumed; see
// [Plan.Say].
func (m *maker) given() {
	usual := Defaults()
	for _, f := range []struct {
		key, name, unit string
		of              func(*Input) float64
	}{
		{"agents", "agents", "", func(in *Input) float64 { return float64(in.Agents) }},
		{"interval", "an agent asks every", "s", func(in *Input) float64 { return in.Interval.Seconds() }},
		{"without-svm", "agents that have no SVM", "%", func(in *Input) float64 { return in.WithoutSVM * 100 }},
		{"without-interval", "one of those asks every", "s", func(in *Input) float64 { return in.WithoutInterval.Seconds() }},
		{"waiting", "others that hold a long poll", "%", func(in *Input) float64 { return in.Waiting * 100 }},
		{"wait", "a long poll lasts", "s", func(in *Input) float64 { return in.Wait.Seconds() }},
		{"reconnect", "after an outage all ask within", "s", func(in *Input) float64 { return in.Reconnect.Seconds() }},
		{"tls", "questions by TLS", "%", func(in *Input) float64 { return in.TLS * 100 }},
		{"new", "questions on a new connection", "%", func(in *Input) float64 { return in.New * 100 }},
		{"resumed", "of these, TLS sessions resumed", "%", func(in *Input) float64 { return in.Resumed * 100 }},
		{"closed", "connections that agents close behind the answer", "%", func(in *Input) float64 { return in.Closed * 100 }},
		{"updates", "changes to the table", "/s", func(in *Input) float64 { return in.Updates }},
		{"report-every", "an SVM reports every", "s", func(in *Input) float64 { return in.ReportEvery.Seconds() }},
		{"svm-capacity", "agents that an SVM takes", "", func(in *Input) float64 { return float64(in.SVMCapacity) }},
		{"failed-svms", "SVMs that may fail", "", func(in *Input) float64 { return float64(in.FailedSVMs) }},
		{"failed-gateways", "gateways that may fail", "", func(in *Input) float64 { return float64(in.FailedGateways) }},
		{"gateway-processors", "processors of a gateway", "", func(in *Input) float64 { return float64(in.Processors) }},
		{"load", "part of them that may be busy", "%", func(in *Input) float64 { return in.Load * 100 }},
	} {
		fig := Figure{Key: f.key, Name: f.name, Value: f.of(&m.in), Unit: f.unit, Source: Given}
		if fig.Value == f.of(&usual) {
			fig.Source, fig.How = Assume, "nothing else was said"
		}
		m.plan.Given = append(m.plan.Given, fig)
	}
}

// Say marks figures of the input as given that only happen to be as [Defaults] has
// them.
func (p *Plan) Say(keys ...string) {
	for i := range p.Given {
		if f := &p.Given[i]; slices.Contains(keys, f.Key) {
			f.Source, f.How = Given, ""
		}
	}
}

// priced lists what things cost: of questions, those ways that the input has.
func (m *maker) priced() {
	add := func(key, name, unit string, v Value, scale float64) {
		source := Assume
		if v.Measured {
			source = Measured
		}
		m.plan.Costs = append(m.plan.Costs, Figure{key, name, v.Value / scale, unit, source, v.From})
	}
	shares := m.in.shares()
	for _, p := range profiles {
		if shares[p.Profile] == 0 {
			continue
		}
		curve := m.costs.Questions[p.Profile]
		from := curve.From
		if curve.Measured {
			from += ", " + curve.words()
		}
		add(p.key, p.name, "µs", Value{curve.At(0), curve.Measured, from}, 1)
	}
	c := m.costs
	add("baseMemory", "gateway with an empty table", "MiB", c.BaseBytes, 1<<20)
	add("vmMemory", "VM in the table", "B", c.VMBytes, 1)
	if m.in.TLS < 1 {
		add("connectionMemory", "open connection", "KiB", c.ConnectionBytes, 1<<10)
	}
	if m.in.TLS > 0 {
		add("tlsConnectionMemory", "open TLS connection", "KiB", c.TLSConnectionBytes, 1<<10)
	}
	add("idleGossip", "to each other gateway, when nothing goes on", "B/s", c.IdleGossip, 1)
	add("updateGossip", "from each gateway to each other for a change", "B", c.UpdateGossip, 1)
	add("reportGossip", "sent by each gateway for an SVM's report", "B", c.ReportGossip, 1)
	add("spread", "busiest SVM, to the average", "×", c.Spread, 1)
}

// words tells the points of a curve.
func (c *Curve) words() string {
	text := ""
	for i, p := range c.Points {
		if i > 0 {
			text += ", "
		}
		text += Number(p.Micros) + " µs at " + Number(p.Rate) + "/s"
	}
	return text + " of one processor"
}
