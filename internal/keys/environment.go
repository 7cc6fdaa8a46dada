package logtoauth

import (
	"slices"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// environment is what one config lends to the key sets it uses. A key set
// outlives configs, so it holds on to none of this.
type environment struct {
	logger   *zap.Logger
	storage  certmagic.Storage
	observer func(fetchReport) // told of every fetch; may be nil
}

func (env *environment) log() *zap.Logger {
	if env.logger == nil {
		return zap.NewNop()
	}
	return env.logger
}

// attachment is a config's environment at a key set.
type attachment struct {
	env  *environment
	live bool // its app has been started
}

// attach offers a config's environment. Until that config is live it counts
// only where no other one is: a config may yet fail to start, while a request
// may come before its Start.
func (ks *KeySet) attach(env *environment) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.environments = append(ks.environments, attachment{env: env})
}

// goLive makes the environment the newest live one.
func (ks *KeySet) goLive(env *environment) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for i := range ks.environments {
		if ks.environments[i].env == env {
			ks.environments[i].live = true
		}
	}
	if ks.store != nil {
		ks.store.storageChanged()
	}
}

// detach takes the environment back. What runs with it now may still end with
// it.
func (ks *KeySet) detach(env *environment) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.environments = slices.DeleteFunc(ks.environments, func(a attachment) bool { return a.env == env })
}

// environment returns that of the newest live config, else of the newest.
func (ks *KeySet) environment() *environment {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for _, a := range slices.Backward(ks.environments) {
		if a.live {
			return a.env
		}
	}
	if n := len(ks.environments); n > 0 {
		return ks.environments[n-1].env
	}
	return &environment{}
}
