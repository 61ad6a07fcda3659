// Sends events with the Elasticsearch client for Go: send URL EVENTS
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"
)

func main() {
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	client, err := elasticsearch.NewClient(elasticsearch.Config{
		Addresses:           []string{os.Args[1]},
		RetryOnStatus:       []int{429, 502, 503, 504},
		MaxRetries:          100,
		CompressRequestBody: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	failed := func(_ context.Context, _ esutil.BulkIndexerItem, answer esutil.BulkIndexerResponseItem, err error) {
		log.Fatal(answer.Error, err)
	}
	indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: client, Index: "lines", NumWorkers: 2})
	if err != nil {
		log.Fatal(err)
	}
	for number := range count {
		body := strings.NewReader(fmt.Sprintf(`{"message":"seq=%07d"}`, number))
		item := esutil.BulkIndexerItem{Action: "create", Body: body, OnFailure: failed}
		if err := indexer.Add(context.Background(), item); err != nil {
			log.Fatal(err)
		}
	}
	if err := indexer.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	if flushed := indexer.Stats().NumFlushed; flushed != uint64(count) {
		log.Fatalf("%d of %d are taken", flushed, count)
	}
}
