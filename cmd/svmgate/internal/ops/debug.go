package ops

import (
	"html/template"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// localOnly passes on requests that come from this host, were meant for it, and
// were not passed on by a proxy.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
		if err != nil || !peer.Addr().Unmap().IsLoopback() || forwarded || !localName(r.Host) {
			say(w, http.StatusForbidden, "debug pages answer on this host only, without a proxy, under localhost or a loopback address")
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
		next.ServeHTTP(w, r)
	})
}

// localName reports whether host, with or without a port, is this host. Any other
// name in a request from here is a page in a browser whose name was made to point
// here.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (p *Plane) debugPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/{$}", func(w http.ResponseWriter, _ *http.Request) { render(w, indexPage, p.centers.Load().found()) })
	mux.HandleFunc("GET /debug/table", p.tablePage)
	mux.HandleFunc("GET /debug/decision", p.decisionPage)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// shown returns the subjects, or answers that they are not there yet.
func (p *Plane) shown(w http.ResponseWriter) *subjects {
	s := p.subjects.Load()
	if s == nil {
		say(w, http.StatusServiceUnavailable, "not ready: the table is being loaded")
	}
	return s
}

func (p *Plane) tablePage(w http.ResponseWriter, _ *http.Request) {
	s := p.shown(w)
	if s == nil {
		return
	}
	states := map[string]int{}
	for state, n := range svmStates(s.table) {
		states[store.SVMState(state).String()] = n
	}
	render(w, tablePage, map[string]any{"Stats": s.table.Stats(), "Sets": s.selector.Stats(), "States": states})
}

func (p *Plane) decisionPage(w http.ResponseWriter, r *http.Request) {
	s := p.shown(w)
	if s == nil {
		return
	}
	page := struct {
		BIOS, Error string
		Explanation *discovery.Explanation
	}{BIOS: r.FormValue("biosId")}
	if page.BIOS != "" {
		id, err := store.ParseBIOSID(page.BIOS)
		if err != nil {
			page.Error = err.Error()
			w.WriteHeader(http.StatusBadRequest)
		} else {
			e := s.selector.Explain(&discovery.Query{BIOS: id})
			page.Explanation = &e
		}
	}
	render(w, decisionPage, page)
}

func render(w http.ResponseWriter, page *template.Template, subject any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error means that the client has gone: the templates are tested.
	_ = page.Execute(w, subject)
}

const head = `<!doctype html><meta charset="utf-8"><title>svmgate</title>
<style>body{font:14px/1.4 sans-serif;margin:2em;max-width:80em}table{border-collapse:collapse}
td,th{padding:2px 12px 2px 0;text-align:left;border-bottom:1px solid #ddd}.gone{color:#777}</style>
`

var (
	indexPage = template.Must(template.New("index").Parse(head + `<h1>svmgate</h1><ul>
<li><a href="/debug/decision">decision</a>: which SVM a VM's agent gets, and why
<li><a href="/debug/table">table</a>: what this gateway knows
<li><a href="/debug/pprof/">pprof</a>: profiles of this process
<li><a href="/metrics">metrics</a>, <a href="/healthz">healthz</a>, <a href="/readyz">readyz</a></ul>
{{with .}}<h2>Kaspersky Security Centers</h2><table>{{range .Centers}}
<tr><th>{{.URL}}</th><td>{{if .Err}}can not be asked: {{.Err}}{{else}}{{.Used}} of {{.Limit}} virtual servers{{end}}{{end}}</table>
<p>asked at {{.Asked.UTC.Format "15:04:05"}} UTC</p>{{end}}
`))
	tablePage = template.Must(template.New("table").Parse(head + `<h1>Table</h1><table>
<tr><th>tenants<td>{{.Stats.Tenants}}<tr><th>SVMs<td>{{.Stats.SVMs}}<tr><th>VMs<td>{{.Stats.VMs}}
<tr><th>accounts<td>{{.Stats.Accounts}}<tr><th>revision<td>{{.Stats.Revision}}
<tr><th>records refused: version in the future<td>{{.Stats.SkewRefused}}</table>
<h2>SVMs by state</h2><table>{{range $state, $n := .States}}<tr><th>{{$state}}<td>{{$n}}{{end}}</table>
<h2>Candidate sets</h2><table>
<tr><th>sets<td>{{.Sets.Sets}}<tr><th>bytes<td>{{.Sets.SetBytes}}<tr><th>built<td>{{.Sets.Builds}}
<tr><th>all dropped<td>{{.Sets.Resets}}<tr><th>questions scanned<td>{{.Sets.Scans}}</table>
<h2>Agents</h2><table>
<tr><th>sent to their first SVM<td>{{.Sets.Placed}}<tr><th>moved to another<td>{{.Sets.Moved}}
<tr><th>told to come later<td>{{.Sets.Later}}<tr><th>SVMs suspect<td>{{.Sets.Suspects}}
<tr><th>SVMs held<td>{{.Sets.Held}}</table>
`))
	decisionPage = template.Must(template.New("decision").Parse(head + `<h1>Decision</h1>
<form action="/debug/decision"><label>BIOS ID <input name="biosId" size="40" value="{{.BIOS}}" autofocus></label> <button>explain</button></form>
{{with .Error}}<p>{{.}}</p>{{end}}
{{with .Explanation}}<p><b>{{.Result}}</b>: {{.Sentence}}</p>
{{with .Has}}<p>It has {{if .Name}}{{.Name}}{{else}}{{.ID}}{{end}}, and {{if .Keeps}}keeps{{else}}leaves{{end}} it.</p>{{end}}
<table><tr><th>rank<th>SVM<th>address<th>load<th>fair share<th>capacity<th>hard cap<th>state<th>why
{{range .Candidates}}<tr{{if not .Rank}} class="gone"{{end}}><td>{{if .Rank}}{{.Rank}}{{else}}{{.Removed}}{{end}}
<td>{{if .Name}}{{.Name}}{{else}}{{.ID}}{{end}}<td>{{.Address}}<td>{{.Load}}<td>{{if .Fair}}{{.Fair}}{{end}}<td>{{.Capacity}}<td>{{if .HardCap}}{{.HardCap}}{{end}}
<td>{{.State}}{{if .Suspect}}, suspect{{end}}{{if .Held}}, held{{end}}{{if not .Settled}}, not settled{{end}}{{if lt .Open 8}}, open to {{.Open}}/8{{end}}{{if .Left}}, {{.Left}} % left{{end}}
<td>{{.Reason}}
{{end}}</table>{{end}}
`))
)
