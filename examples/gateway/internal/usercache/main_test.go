package usercache

import (
	"os"
	"testing"

	"github.com/gopptp/gopptp/examples/gateway/internal/database/databasetest"
)

func TestMain(m *testing.M) { os.Exit(databasetest.Main(m)) }
