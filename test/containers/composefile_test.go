package containers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile has the keys of compose.yaml. Reading it fails at a key that the test does not know, and so does not try.
type composeFile struct {
	Name     string
	Locked   any `yaml:"x-locked"`
	Node     any `yaml:"x-node"`
	After    any `yaml:"x-after-nodes"`
	Services map[string]service
	Networks map[string]any
	Volumes  map[string]any
	Secrets  map[string]struct{ File string }
}

type service struct {
	Image       string
	User        string
	Command     []string
	Environment map[string]string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	Restart     string
	StopGrace   string `yaml:"stop_grace_period"`
	Ulimits     map[string]int
	Ports       []string
	Networks    any
	Volumes     []string
	Secrets     []secret
	Healthcheck struct {
		Test              []string
		Interval, Timeout string
		StartPeriod       string `yaml:"start_period"`
		Retries           int
	}
	DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
}

// secret is the name of a secret, or the name and the one that its file gets.
type secret struct{ Source, Target string }

// UnmarshalYAML reads both forms.
func (s *secret) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Source, s.Target = n.Value, n.Value
		return nil
	}
	type plain secret
	return n.Decode((*plain)(s))
}

// readCompose reads compose.yaml with these variables set. Others have their defaults.
func readCompose(t *testing.T, path string, env map[string]string) (f composeFile) {
	t.Helper()
	variable := regexp.MustCompile(`\$\{([A-Z_]+):-([^}]*)\}`)
	text := variable.ReplaceAllStringFunc(read(t, path), func(m string) string {
		parts := variable.FindStringSubmatch(m)
		if v, ok := env[parts[1]]; ok {
			return v
		}
		return parts[2]
	})
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f
}

// order lists the services, each behind those that it depends on.
func (f composeFile) order() (names []string) {
	for len(names) < len(f.Services) {
		before := len(names)
		for name, s := range f.Services {
			ready := !slices.Contains(names, name)
			for other := range s.DependsOn {
				ready = ready && slices.Contains(names, other)
			}
			if ready {
				names = append(names, name)
			}
		}
		if len(names) == before {
			return names // a circle
		}
	}
	return names
}

// run is the command of podman for a service, in the network of the host, with the named hosts.
func (f composeFile) run(name string, hosts []string) string {
	s := f.Services[name]
	args := []string{"podman", "run", "--detach", "--name", name, "--network=host", "--read-only-tmpfs=false"}
	add := func(flag string, values ...string) {
		for _, v := range values {
			args = append(args, flag+"="+v)
		}
	}
	add("--add-host", hosts...)
	add("--read-only", fmt.Sprint(s.ReadOnly))
	add("--cap-drop", s.CapDrop...)
	add("--cap-add", s.CapAdd...)
	for _, o := range s.SecurityOpt {
		add("--security-opt", strings.TrimSuffix(o, ":true"))
	}
	add("--restart", s.Restart)
	for key, v := range s.Environment {
		add("--env", key+"="+v)
	}
	for key, v := range s.Ulimits {
		add("--ulimit", fmt.Sprintf("%s=%d:%d", key, v, v))
	}
	if s.User != "" {
		add("--user", s.User)
	}
	for _, v := range s.Volumes {
		add("--volume", v)
	}
	for _, x := range s.Secrets {
		add("--volume", "./"+f.Secrets[x.Source].File+":/run/secrets/"+x.Target+":ro")
	}
	args = append(append(args, s.Image), s.Command...)
	for i, a := range args {
		args[i] = "'" + a + "'"
	}
	return strings.Join(args, " ")
}

// up are the lines that start the services as compose does: behind the ones that they depend on, when those are healthy.
func (f composeFile) up(names, hosts []string) (steps []step) {
	var asked []string
	for _, name := range names {
		for other := range f.Services[name].DependsOn {
			if !slices.Contains(asked, other) {
				asked = append(asked, other)
				health := "podman exec " + other + " " + strings.Join(f.Services[other].Healthcheck.Test[1:], " ")
				steps = append(steps, step{until("until " + health + "; do sleep 0.5; done"), "so"})
			}
		}
		steps = append(steps, step{f.run(name, hosts), "[0-9a-f]{64}"})
	}
	return steps
}
