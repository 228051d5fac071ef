// franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	. "clients/steps"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	servers = os.Args[1]
	topic   = "franz-" + Run
	ledger  = "franz-ledger-" + Run
	group   = "franz-group-" + Run
	admin   *kadm.Client
	second  *kgo.Client
	writer  *kgo.Client
)

func open(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(servers), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
}

func create(ctx context.Context) error {
	client, err := open()
	if err != nil {
		return err
	}
	admin = kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, topic); err != nil {
		return err
	}
	_, err = admin.CreateTopic(ctx, 1, 1, nil, ledger)
	return err
}

func send(ctx context.Context, from, to int) error {
	client, err := open(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	for n := from; n < to; n++ {
		record := &kgo.Record{Topic: topic, Partition: int32(n % 2), Value: []byte(strconv.Itoa(n))}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func read(ctx context.Context, client *kgo.Client, expected []int) error {
	var values []int
	for len(values) < len(expected) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("after %v: %w", values, err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			n, _ := strconv.Atoi(string(record.Value))
			values = append(values, n)
		})
	}
	slices.Sort(values)
	return Equal(values, expected)
}

func consume(ctx context.Context) error {
	client, err := open(kgo.ConsumeTopics(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	return read(ctx, client, Numbers(0, 10))
}

func member(group string, options ...kgo.Opt) (*kgo.Client, error) {
	return open(append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())...)
}

func join(ctx context.Context) error {
	client, err := member(group)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := read(ctx, client, Numbers(0, 10)); err != nil {
		return err
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	return send(ctx, 10, 20)
}

func rejoin(ctx context.Context) (err error) {
	if second, err = member(group); err != nil {
		return err
	}
	if err := read(ctx, second, Numbers(10, 20)); err != nil {
		return err
	}
	return second.CommitUncommittedOffsets(ctx)
}

func describe(ctx context.Context) error {
	described, err := admin.DescribeGroups(ctx, group)
	if err != nil {
		return err
	}
	lags, err := admin.Lag(ctx, group)
	if err != nil {
		return err
	}
	second.Close()
	found := described[group]
	return errors.Join(found.Err, Equal(fmt.Sprint(found.State, len(found.Members), lags[group].Lag.Total()), "Stable1 0"))
}

func kip848(ctx context.Context) error {
	ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true)
	name := group + "-848"
	client, err := member(name, kgo.WithContext(ctx))
	if err != nil {
		return err
	}
	if err := read(ctx, client, Numbers(0, 20)); err != nil {
		return err
	}
	described, err := admin.DescribeConsumerGroups(ctx, name)
	if err != nil {
		return err
	}
	if err := errors.Join(described[name].Err, Equal(len(described[name].Members), 1)); err != nil {
		return err
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	client.Close()
	if err := send(ctx, 20, 22); err != nil {
		return err
	}
	if client, err = member(name, kgo.WithContext(ctx)); err != nil {
		return err
	}
	defer client.Close()
	return read(ctx, client, Numbers(20, 22))
}

func committed(ctx context.Context, expected []int) error {
	client, err := open(kgo.ConsumeTopics(ledger), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer client.Close()
	return read(ctx, client, expected)
}

func transaction(ctx context.Context, end kgo.TransactionEndTry, numbers ...int) error {
	if err := writer.BeginTransaction(); err != nil {
		return err
	}
	for _, n := range numbers {
		record := &kgo.Record{Topic: ledger, Value: []byte(strconv.Itoa(n))}
		if err := writer.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return writer.EndTransaction(ctx, end)
}

func commit(ctx context.Context) (err error) {
	if writer, err = open(kgo.TransactionalID("franz-" + Run)); err != nil {
		return err
	}
	if err := transaction(ctx, kgo.TryCommit, 0, 1, 2); err != nil {
		return err
	}
	return committed(ctx, Numbers(0, 3))
}

func abort(ctx context.Context) error {
	defer writer.Close()
	if err := transaction(ctx, kgo.TryAbort, 3, 4); err != nil {
		return err
	}
	if err := transaction(ctx, kgo.TryCommit, 5); err != nil {
		return err
	}
	return committed(ctx, []int{0, 1, 2, 5})
}

func offsets(ctx context.Context) error {
	name := group + "-offsets"
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(servers),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumerGroup(name),
		kgo.ConsumeTopics(topic),
		kgo.TransactionalID("franz-offsets-"+Run),
		kgo.RequireStableFetchOffsets(),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.Begin(); err != nil {
		return err
	}
	for read := 0; read < 10; {
		fetches := session.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		read += fetches.NumRecords()
	}
	if err := session.ProduceSync(ctx, &kgo.Record{Topic: ledger, Value: []byte("6")}).FirstErr(); err != nil {
		return err
	}
	if done, err := session.End(ctx, kgo.TryCommit); err != nil || !done {
		return fmt.Errorf("committed: %v, %v", done, err)
	}
	// The answer to the commit may come before its markers are written.
	for stored := (kadm.OffsetResponses{}); len(stored) == 0; {
		if stored, err = admin.FetchOffsets(ctx, name); err != nil {
			return err
		}
	}
	return committed(ctx, []int{0, 1, 2, 5, 6})
}

func remove(ctx context.Context) error {
	deleted, err := admin.DeleteTopics(ctx, topic, ledger)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return err
	}
	return Eventually(ctx, func() (bool, error) {
		listed, err := admin.ListTopics(ctx)
		return !listed.Has(topic), err
	})
}

func main() {
	Client("franz-go", "github.com/twmb/franz-go")
	Step("create", create)
	Step("produce", func(ctx context.Context) error { return send(ctx, 0, 10) })
	Step("consume", consume)
	Step("group", join)
	Step("rejoin", rejoin)
	Step("describe", describe)
	Step("kip848", kip848)
	Step("commit", commit)
	Step("abort", abort)
	Step("offsets", offsets)
	Step("delete", remove)
}
