package keys

import (
	"slices"

	"go.uber.org/zap"
)

// Environment is what one config lends to the key sets it uses. A key set
// outlives configs, so it holds on to none of this.
type Environment struct {
	Logger   *zap.Logger
	Storage  Storage
	Observer func(FetchReport) // told of every fetch; may be nil
}

func (env *Environment) log() *zap.Logger {
	if env.Logger == nil {
		return zap.NewNop()
	}
	return env.Logger
}

// attachment is a config's environment at a key set.
type attachment struct {
	env  *Environment
	live bool // its app has been started
}

// Attach offers a config's environment. Until that config is live it counts
// only where no other one is: a config may yet fail to start, while a request
// may come before its Start.
func (ks *Set) Attach(env *Environment) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.environments = append(ks.environments, attachment{env: env})
}

// GoLive makes the environment the newest live one.
func (ks *Set) GoLive(env *Environment) {
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

// Detach takes the environment back. What runs with it now may still end with
// it.
func (ks *Set) Detach(env *Environment) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.environments = slices.DeleteFunc(ks.environments, func(a attachment) bool { return a.env == env })
}

// environment returns that of the newest live config, else of the newest.
func (ks *Set) environment() *Environment {
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
	return &Environment{}
}
