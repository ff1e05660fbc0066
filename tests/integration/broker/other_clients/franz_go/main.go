// What a user of franz-go does: `franz-go BOOTSTRAP TOPIC COUNT`. Prints the values its group has read, as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type report struct {
	Got     []string `json:"got"`
	Offsets []int64  `json:"offsets"`
	Ends    []int64  `json:"ends"`
}

func main() {
	bootstrap, topic := os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	plain := client(bootstrap, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	defer plain.Close()
	admin := kadm.NewClient(plain)
	created, err := admin.CreateTopic(ctx, 3, 1, nil, topic)
	check(err)
	check(created.Err)
	check(plain.ProduceSync(ctx, values("plain", count)...).FirstErr())

	transactional := client(bootstrap, kgo.DefaultProduceTopic(topic), kgo.TransactionalID(topic+"-tx"))
	defer transactional.Close()
	for _, end := range []struct {
		prefix string
		commit kgo.TransactionEndTry
	}{{"aborted", kgo.TryAbort}, {"committed", kgo.TryCommit}} {
		check(transactional.BeginTransaction())
		check(transactional.ProduceSync(ctx, values(end.prefix, count)...).FirstErr())
		check(transactional.EndTransaction(ctx, end.commit))
	}

	group := topic + "-group"
	consumer := client(bootstrap, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit())
	var found report
	for len(found.Got) < 2*count {
		fetches := consumer.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) { found.Got = append(found.Got, string(record.Value)) })
	}
	check(consumer.CommitUncommittedOffsets(ctx))
	consumer.Close()

	offsets, err := admin.FetchOffsets(ctx, group)
	check(err)
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	check(err)
	for partition := range int32(3) {
		offset, _ := offsets.Lookup(topic, partition)
		end, _ := ends.Lookup(topic, partition)
		found.Offsets = append(found.Offsets, offset.At)
		found.Ends = append(found.Ends, end.Offset)
	}
	check(json.NewEncoder(os.Stdout).Encode(found))
}

func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	check(err)
	return made
}

func values(prefix string, count int) []*kgo.Record {
	var records []*kgo.Record
	for number := range count {
		records = append(records, kgo.KeyStringRecord(strconv.Itoa(number), fmt.Sprintf("%s-%d", prefix, number)))
	}
	return records
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
