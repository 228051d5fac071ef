// sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	. "clients/steps"

	"github.com/IBM/sarama"
)

var (
	servers = []string{os.Args[1]}
	topic   = "sarama-" + Run
	ledger  = "sarama-ledger-" + Run
	group   = "sarama-group-" + Run
	admin   sarama.ClusterAdmin
	writer  sarama.SyncProducer
)

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V4_1_0_0
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Net.MaxOpenRequests = 1
	return config
}

func create(context.Context) (err error) {
	if admin, err = sarama.NewClusterAdmin(servers, config()); err != nil {
		return err
	}
	return errors.Join(
		admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false),
		admin.CreateTopic(ledger, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false),
	)
}

func send(from, to int) error {
	producer, err := sarama.NewSyncProducer(servers, config())
	if err != nil {
		return err
	}
	defer producer.Close()
	for n := from; n < to; n++ {
		message := &sarama.ProducerMessage{Topic: topic, Partition: int32(n % 2), Value: sarama.StringEncoder(strconv.Itoa(n))}
		if _, _, err := producer.SendMessage(message); err != nil {
			return err
		}
	}
	return nil
}

func read(ctx context.Context, settings *sarama.Config, topic string, partitions int, expected []int) error {
	consumer, err := sarama.NewConsumer(servers, settings)
	if err != nil {
		return err
	}
	defer consumer.Close()
	messages := make(chan *sarama.ConsumerMessage)
	for partition := range partitions {
		reader, err := consumer.ConsumePartition(topic, int32(partition), sarama.OffsetOldest)
		if err != nil {
			return err
		}
		defer reader.AsyncClose()
		go func() {
			for message := range reader.Messages() {
				messages <- message
			}
		}()
	}
	var values []int
	for len(values) < len(expected) {
		select {
		case message := <-messages:
			n, _ := strconv.Atoi(string(message.Value))
			values = append(values, n)
		case <-ctx.Done():
			return fmt.Errorf("only %v", values)
		}
	}
	slices.Sort(values)
	return Equal(values, expected)
}

func consume(ctx context.Context) error {
	return read(ctx, config(), topic, 2, Numbers(0, 10))
}

// A member of the group that commits what it has read and leaves once it has read enough.
type member struct {
	values   []int
	messages chan *sarama.ConsumerMessage
	before   func() error
}

func (m *member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			session.MarkMessage(message, "")
			session.Commit()
			m.messages <- message
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) run(ctx context.Context, expected []int) error {
	consumer, err := sarama.NewConsumerGroup(servers, group, config())
	if err != nil {
		return err
	}
	defer consumer.Close()
	m.messages = make(chan *sarama.ConsumerMessage, 100)
	ended := make(chan error, 1)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ended <- consumer.Consume(inner, []string{topic}, m) }()
	for len(m.values) < len(expected) {
		select {
		case message := <-m.messages:
			n, _ := strconv.Atoi(string(message.Value))
			m.values = append(m.values, n)
		case err := <-ended:
			return fmt.Errorf("left after %v: %v", m.values, err)
		case <-ctx.Done():
			return fmt.Errorf("only %v", m.values)
		}
	}
	if m.before != nil {
		if err := m.before(); err != nil {
			return err
		}
	}
	cancel()
	<-ended
	slices.Sort(m.values)
	return Equal(m.values, expected)
}

func join(ctx context.Context) error {
	if err := (&member{}).run(ctx, Numbers(0, 10)); err != nil {
		return err
	}
	return send(10, 20)
}

var described = errors.New("no member has read on")

func rejoin(ctx context.Context) error {
	describe := func() error {
		groups, err := admin.DescribeConsumerGroups([]string{group})
		if described = err; err == nil {
			described = Equal(fmt.Sprint(groups[0].State, " ", len(groups[0].Members)), "Stable 1")
		}
		return nil
	}
	return (&member{before: describe}).run(ctx, Numbers(10, 20))
}

func committed(ctx context.Context, expected []int) error {
	settings := config()
	settings.Consumer.IsolationLevel = sarama.ReadCommitted
	return read(ctx, settings, ledger, 1, expected)
}

func transaction(end func() error, numbers ...int) error {
	if err := writer.BeginTxn(); err != nil {
		return err
	}
	for _, n := range numbers {
		message := &sarama.ProducerMessage{Topic: ledger, Value: sarama.StringEncoder(strconv.Itoa(n))}
		if _, _, err := writer.SendMessage(message); err != nil {
			return err
		}
	}
	return end()
}

func commit(ctx context.Context) (err error) {
	settings := config()
	settings.Producer.Idempotent = true
	settings.Producer.RequiredAcks = sarama.WaitForAll
	settings.Producer.Transaction.ID = "sarama-" + Run
	if writer, err = sarama.NewSyncProducer(servers, settings); err != nil {
		return err
	}
	if err := transaction(writer.CommitTxn, 0, 1, 2); err != nil {
		return err
	}
	return committed(ctx, Numbers(0, 3))
}

func abort(ctx context.Context) error {
	if err := transaction(writer.AbortTxn, 3, 4); err != nil {
		return err
	}
	if err := transaction(writer.CommitTxn, 5); err != nil {
		return err
	}
	return committed(ctx, []int{0, 1, 2, 5})
}

func offsets(context.Context) error {
	name := group + "-offsets"
	if err := writer.BeginTxn(); err != nil {
		return err
	}
	position := map[string][]*sarama.PartitionOffsetMetadata{topic: {{Partition: 0, Offset: 7}}}
	if err := writer.AddOffsetsToTxn(position, name); err != nil {
		return err
	}
	if err := writer.CommitTxn(); err != nil {
		return err
	}
	stored, err := admin.ListConsumerGroupOffsets(name, map[string][]int32{topic: {0}})
	if err != nil {
		return err
	}
	return Equal(stored.GetBlock(topic, 0).Offset, int64(7))
}

func remove(ctx context.Context) error {
	if err := errors.Join(admin.DeleteTopic(topic), admin.DeleteTopic(ledger)); err != nil {
		return err
	}
	return Eventually(ctx, func() (bool, error) {
		topics, err := admin.ListTopics()
		_, there := topics[topic]
		return !there, err
	})
}

func main() {
	Client("sarama", "github.com/IBM/sarama")
	Step("create", create)
	Step("produce", func(context.Context) error { return send(0, 10) })
	Step("consume", consume)
	Step("group", join)
	Step("rejoin", rejoin)
	Step("describe", func(context.Context) error { return described })
	Step("commit", commit)
	Step("abort", abort)
	Step("offsets", offsets)
	Step("delete", remove)
}
