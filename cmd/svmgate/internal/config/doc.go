// Package config turns flags, environment variables and a file into the settings
// of a gateway, and says where each one came from.
//
// Every setting has one name. Written --agent-addr it is a flag, SVMGATE_AGENT_ADDR
// an environment variable, agent-addr a key of the YAML file; the first of these
// that is given holds, else the default. An environment variable that is empty
// counts as not given. Lists are written with commas; a flag may also be
// repeated, and a key may hold a YAML list.
//
// Nothing is accepted silently. A key that does not exist, a value that is not
// allowed and a setting of a part that this release does not have are each an
// [Error] that names the key, the value, where it stands and what is allowed; all
// of them are reported, not only the first. An environment variable that begins
// with SVMGATE_ and is no setting is a warning only: container platforms invent
// such variables for a service of that name.
//
// # Secure by default
//
// A listener whose address is not loopback needs TLS, or proxies that end it;
// the agent plane there also needs agent-auth to be chosen, and the cluster plane
// a key file instead of TLS. [Load] refuses anything else and names the flag that
// is missing, unless the setting insecure names the plane. The operations plane
// speaks plain HTTP on loopback, and TLS with the same certificate off it.
//
// Kaspersky Security Center is called with TLS that is verified, and with an account from
// a file that nobody else may read; there is no setting that does without.
package config
