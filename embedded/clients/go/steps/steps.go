// Package steps runs steps with a deadline each and tells of them on stdout: what scripts/clients reads.
package steps

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
)

const Deadline = 30 * time.Second

// Run is in every name of this run.
var Run = func() string {
	bytes := make([]byte, 4)
	for n := range bytes {
		bytes[n] = byte(rand.Int())
	}
	return hex.EncodeToString(bytes)
}()

// Client tells a module's version as the binary has it.
func Client(name, module string) {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				version = strings.TrimPrefix(dependency.Version, "v")
			}
		}
	}
	fmt.Println("client", name, version)
}

// Step runs one step beside a timer, so that a client that hangs is told from one that is refused.
func Step(name string, what func(context.Context) error) {
	context, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	outcome := make(chan error, 1)
	began := time.Now()
	go func() { outcome <- what(context) }()
	told := "ok"
	select {
	case err := <-outcome:
		if err != nil {
			told = "failed: " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
	case <-time.After(Deadline + time.Second):
		told = fmt.Sprintf("failed: no end within %v", Deadline)
	}
	fmt.Println(name, told, time.Since(began).Milliseconds(), "ms")
}

func Equal(found, expected any) error {
	if !reflect.DeepEqual(found, expected) {
		return fmt.Errorf("%v and not %v", found, expected)
	}
	return nil
}

// Eventually waits for what a cluster has been told to be known to all of its brokers.
func Eventually(ctx context.Context, look func() (bool, error)) error {
	for {
		if seen, err := look(); seen || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Numbers are those from one up to, and without, another.
func Numbers(from, to int) []int {
	var numbers []int
	for n := from; n < to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}
