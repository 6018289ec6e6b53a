package ksc

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limit is how many virtual servers one KSC may have, by its documentation.
const Limit = 500

// An Account is ours on a KSC. It needs the rights of a main administrator. Domain is
// that of the account; if empty, it is internal to KSC.
type Account struct{ User, Password, Domain string }

// Config configures [Open]. URLs is required, and an account for each; the zero value of
// every other field selects the default that its comment names.
type Config struct {
	// URLs are the KSCs, such as https://ksc.example:13299.
	URLs []string

	// Account is ours on each of them but those in Accounts, by their URLs.
	Account
	Accounts map[string]Account

	// CA has certificates, in PEM, that are trusted besides the system's: authorities,
	// and KSC's own.
	CA []byte

	// Limit bounds the virtual servers of each KSC: 1 to [Limit], which is the default.
	Limit int

	// Timeout bounds a call, connecting included: 30 s if zero.
	Timeout time.Duration

	// ActionTimeout bounds what KSC goes on with after it answered, such as the removal
	// of a virtual server, with everything that we try: 10 minutes if zero.
	ActionTimeout time.Duration

	// Attempts is how often a call is tried whose failure may pass: 4 times if zero.
	Attempts int

	// Pause is how long to wait before the second attempt; before each further one it is
	// twice as long, up to 5 s, and all that give or take a half. 250 ms if zero.
	Pause time.Duration

	// Connections bounds how many Makes and Removes are under way on each KSC, and with
	// them the connections: 4 if zero.
	Connections int

	// Logger is told, for debugging, what was tried again. If nil, nobody is.
	Logger *slog.Logger
}

// settled returns cfg with its defaults, or says what is wrong with it.
func (cfg Config) settled() (Config, error) {
	if len(cfg.URLs) == 0 {
		return cfg, errors.New("ksc: Config.URLs is empty")
	}
	cfg.URLs = slices.Clone(cfg.URLs)
	for i, address := range cfg.URLs {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
			// Not the address itself: it may have a password in it.
			return cfg, fmt.Errorf("ksc: Config.URLs[%d]: want https://HOST:PORT, and nothing else", i)
		}
		if a := cfg.account(address); a.User == "" || a.Password == "" {
			return cfg, fmt.Errorf("ksc: Config.URLs[%d]: there is no account for it, or one without name or password", i)
		}
		cfg.URLs[i] = "https://" + u.Host
		if slices.Contains(cfg.URLs[:i], cfg.URLs[i]) {
			return cfg, fmt.Errorf("ksc: Config.URLs[%d]: %s is there twice", i, cfg.URLs[i])
		}
	}
	if cfg.Limit < 0 || cfg.Limit > Limit {
		return cfg, fmt.Errorf("ksc: Config.Limit is %d, at most %d is possible", cfg.Limit, Limit)
	}
	if min(cfg.Timeout, cfg.ActionTimeout, cfg.Pause) < 0 || min(cfg.Attempts, cfg.Connections) < 0 {
		return cfg, errors.New("ksc: Config has a number below 0")
	}
	cfg.Limit = cmp.Or(cfg.Limit, Limit)
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	cfg.ActionTimeout = cmp.Or(cfg.ActionTimeout, 10*time.Minute)
	cfg.Attempts = cmp.Or(cfg.Attempts, 4)
	cfg.Pause = cmp.Or(cfg.Pause, 250*time.Millisecond)
	cfg.Connections = cmp.Or(cfg.Connections, 4)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return cfg, nil
}

// account returns ours on the KSC with an URL.
func (cfg *Config) account(address string) Account {
	for other, a := range cfg.Accounts {
		if strings.TrimSuffix(other, "/") == strings.TrimSuffix(address, "/") {
			return a
		}
	}
	return cfg.Account
}
