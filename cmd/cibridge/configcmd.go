package main

import (
	"errors"

	"github.com/spf13/cobra"

	"cibridge/internal/config"
	"cibridge/internal/mapping"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "what configuration and mappings look like"}
	cmd.AddCommand(newConfigSchema())
	return cmd
}

// schemas are the kinds of files that editors can be helped with.
var schemas = []struct {
	flag, doc string
	make      func() []byte
}{
	{"mapping", "of a mapping", mapping.MappingSchema},
	{"test", "of a test file, <name>_test.yaml", mapping.TestFileSchema},
	{"config", "of the server's configuration", config.Schema},
}

func newConfigSchema() *cobra.Command {
	cmd := &cobra.Command{
		Use: "schema", Short: "print the JSON Schema of a file, for editors", Args: cobra.NoArgs,
		Example: "  cibridge config schema --mapping > mapping.schema.json",
		Long: `schema prints the JSON Schema of a kind of file. An editor with a YAML language server completes keys, shows
what they mean and marks what is wrong when the file begins with the line

  # yaml-language-server: $schema=mapping.schema.json`,
	}
	var names []string
	for _, s := range schemas {
		cmd.Flags().Bool(s.flag, false, "the schema "+s.doc)
		names = append(names, s.flag)
	}
	cmd.MarkFlagsMutuallyExclusive(names...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, s := range schemas {
			if wanted, err := cmd.Flags().GetBool(s.flag); err == nil && wanted {
				_, err := cmd.OutOrStdout().Write(s.make())
				return err
			}
		}
		return errors.New("say of which kind of file: --mapping, --test or --config")
	}
	return cmd
}
