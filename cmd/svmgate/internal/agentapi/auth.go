package agentapi

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/store"
)

var (
	authorization = []byte("Authorization")
	bearer        = []byte("bearer ")
)

// authenticate finds out whose agent asks. It reports false where proof is
// asked for and missing or wrong. Whether the tenant is active makes no
// difference: the agents of an inactive one must learn just that.
func (a *API) authenticate(ctx *fasthttp.RequestCtx, how Auth, who *asker) bool {
	if how == MTLS {
		who.tenant, who.authenticated = tenantOfCertificate(ctx)
		return who.authenticated
	}
	return a.let(how, ctx.Request.Header.PeekCanonical(authorization), who)
}

// let is authenticate where no certificate is asked for.
func (a *API) let(how Auth, header []byte, who *asker) bool {
	*who = asker{}
	if how == Token {
		who.tenant, who.authenticated = a.tenantOfToken(header)
		return who.authenticated
	}
	return true
}

// tenantOfToken reads "Bearer {token}". The digest is computed anew each time:
// see BenchmarkToken for why no cache of verified tokens stands in front.
func (a *API) tenantOfToken(header []byte) (store.TenantID, bool) {
	token := tokenIn(header)
	if token == nil {
		return store.TenantID{}, false
	}
	return a.table.TenantByToken(auth.SumToken(token))
}

// tokenIn returns the token of "Bearer {token}", or nil.
func tokenIn(header []byte) []byte {
	if len(header) <= len(bearer) || !bytes.EqualFold(header[:len(bearer)], bearer) {
		return nil
	}
	return bytes.Trim(header[len(bearer):], " ")
}

// tenantOfCertificate reads the tenant from the client certificate of the
// connection, which the TLS handshake must have verified. A certificate for a
// tenant that is not in the table proves that tenant nonetheless: it has no VMs,
// so all are unknown to it. One that names two tenants proves neither, and the
// zero id proves nothing: it stands for VMs that belong to nobody.
func tenantOfCertificate(ctx *fasthttp.RequestCtx) (id store.TenantID, ok bool) {
	tls := ctx.TLSConnectionState()
	if tls == nil || len(tls.VerifiedChains) == 0 || len(tls.PeerCertificates) == 0 {
		return store.TenantID{}, false
	}
	for _, uri := range tls.PeerCertificates[0].URIs {
		text, tenant := strings.CutPrefix(uri.Opaque, "tenant:")
		if uri.Scheme != "svmgate" || !tenant {
			continue
		}
		named, err := store.ParseTenantID(text)
		if err != nil || ok {
			return store.TenantID{}, false
		}
		id, ok = named, true
	}
	return id, ok && !id.IsZero()
}
