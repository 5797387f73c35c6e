package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sampleKeys are the keys of testdata/keys.json that sign the sample records. They are public.
var sampleKeys = map[string]string{
	"pcs_hmac_keys":       "TRi84rjRdeJ4EasHWrOxVf6pckZqFBd+quSuUAPsTq0=,previous-shared-key",
	"pcs_ed25519_pub_b64": "+CpgkgeQRd0qAM1WygfHS4iIs5ceeUpNz+A69X/KbpY=",
}

// withSample adds the sample keys to the key settings of a cluster that has only a demo key.
func (d *devCluster) withSample(lines []string) ([]string, error) {
	for _, key := range keySettings {
		value, sample := sampleKeys[key]
		if !sample {
			continue
		}
		path := filepath.Join(d.dir, "keys", "sample-"+key+".key")
		line := fmt.Sprintf("%s_file: %q", key, path)
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			return nil, err
		}
		if slices.Contains(lines, line) {
			continue
		}
		for _, has := range lines {
			if strings.HasPrefix(has, key+"_file:") || strings.HasPrefix(has, "pcs_sign_alg:") {
				return nil, &usageError{fmt.Errorf("--sample: this cluster has key settings of its own (%s); "+
					"take another --dir, and leave PCS_SIGN_ALG, PCS_HMAC_KEYS and PCS_ED25519_PUB_B64 unset", has)}
			}
		}
		lines = append(lines, line)
	}
	return lines, nil
}
