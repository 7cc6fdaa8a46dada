package keys

import "go.uber.org/zap"

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

// Attach offers a config's environment (see [configs.Lent]).
func (ks *Set) Attach(env *Environment) { ks.environments.Attach(env) }

// GoLive makes the environment one of a config that has been started.
func (ks *Set) GoLive(env *Environment) {
	ks.environments.GoLive(env)
	if ks.store != nil {
		ks.store.storageChanged()
	}
}

// Detach takes the environment back. What runs with it now may still end with
// it.
func (ks *Set) Detach(env *Environment) { ks.environments.Detach(env) }

// environment returns that of the newest live config, else of the newest.
func (ks *Set) environment() *Environment {
	if env := ks.environments.Current(); env != nil {
		return env
	}
	return &Environment{}
}
