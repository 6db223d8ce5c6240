// Command generate writes CONFORMANCE.md. It fails, and writes nothing, when a
// clause names a test that does not exist or has neither a test nor a reason.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gopptp/gopptp/internal/conformance"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	root, err := conformance.Root(".")
	if err != nil {
		return err
	}
	docs, err := conformance.Load()
	if err != nil {
		return err
	}
	tests, err := conformance.Index(root)
	if err != nil {
		return err
	}
	if errs := conformance.Check(docs, tests); len(errs) > 0 {
		for _, err := range errs {
			fmt.Fprintln(os.Stderr, err)
		}
		return fmt.Errorf("%d faults", len(errs))
	}
	return os.WriteFile(filepath.Join(root, conformance.Page), conformance.Markdown(docs, tests), 0o644)
}
