package report

import (
	"errors"
	"os"
	"path/filepath"
)

// Place is where a report is kept. What is empty is not written.
type Place struct {
	Name     string // of the section is bench-Name, of the files Name.json and Name.svg
	Results  string // the directory of the files
	Document string // the Markdown file that has the section
}

// Save writes the report. markdown makes the section, given the path to the plot as
// seen from the document, or nothing if there is no plot.
func (r *Report) Save(to Place, svg string, markdown func(plot string) string) error {
	plot := ""
	if to.Results != "" {
		text, err := r.JSON()
		err = errors.Join(err, os.MkdirAll(to.Results, 0o755))
		if err != nil {
			return err
		}
		plot = filepath.Join(to.Results, to.Name+".svg")
		err = errors.Join(
			os.WriteFile(filepath.Join(to.Results, to.Name+".json"), text, 0o644),
			os.WriteFile(plot, []byte(svg), 0o644))
		if err != nil {
			return err
		}
	}
	if to.Document == "" {
		return nil
	}
	if plot != "" {
		var err error
		if plot, err = relative(to.Document, plot); err != nil {
			return err
		}
	}
	old, err := os.ReadFile(to.Document)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(to.Document, Insert(old, []byte(markdown(plot)), "bench-"+to.Name), 0o644)
}

func relative(document, path string) (string, error) {
	from, err := filepath.Abs(filepath.Dir(document))
	if err != nil {
		return "", err
	}
	to, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.Rel(from, to)
}
