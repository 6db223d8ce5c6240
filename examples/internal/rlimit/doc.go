// Package rlimit lets programs have the descriptors that very many connections take.
package rlimit
