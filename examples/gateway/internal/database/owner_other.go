//go:build !unix

package database

import "os"

func giveAway(*os.File, string) error { return nil }
