// Lumber sends events with the reference library of the Lumberjack protocol, as Beats do, and says which of them were acked.
//
// It numbers its events, connects again after every failure, and sends again what was not acked. With -check it reads the
// documents that came out of the relay instead, and says how many numbers are missing, were taken twice, and were delivered twice. With
// -serve it is the reference library's own server, for comparison.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"
	"time"

	client "github.com/elastic/go-lumber/client/v2"
	"github.com/elastic/go-lumber/server"
)

var (
	to          = flag.String("to", "127.0.0.1:5044", "the relay")
	events      = flag.Int("events", 100000, "how many events to send")
	window      = flag.Int("window", 2048, "events of a window")
	inflight    = flag.Int("inflight", 0, "windows under way at once; 0: the synchronous client")
	compression = flag.Int("compression", 0, "zlib's level; 0: not compressed")
	size        = flag.Int("size", 400, "bytes of each message")
	check       = flag.String("check", "", "a file of documents to check instead of sending")
	serve       = flag.String("serve", "", "an address to serve instead of sending")
	mostDoubled = flag.Int("doubled", 0, "how many events may have been taken twice; what the relay delivers again has the same id")
	mostHalves  = flag.Int("halves", 0, "how many lines may be half of one: the last one that a killed relay wrote, which the next one ends")
	patience    = flag.Duration("patience", time.Minute, "how long to go on without an ack")
)

func main() {
	flag.Parse()
	switch {
	case *check != "":
		checkFile()
	case *serve != "":
		serveEvents()
	default:
		send()
	}
}

// An event as a Beat sends it.
func event(number int, filler string) interface{} {
	return map[string]interface{}{
		"@timestamp": "2026-11-23T10:00:00.000Z",
		"@metadata":  map[string]interface{}{"beat": "lumber", "type": "_doc", "version": "8.0.0"},
		"message":    filler,
		"number":     number,
	}
}

func fillers() string {
	line := []byte("https 2026-11-23T09:59:59.123456Z app/web/0123456789abcdef 203.0.113.9:40000 10.0.0.7:80 0.001 0.024 0.000 200 200 ")
	for len(line) < *size {
		line = append(line, byte('a'+len(line)%26))
	}
	return string(line[:*size])
}

// The numbers [from, to) of one window.
type span struct{ from, to int }

func send() {
	started := time.Now()
	var spans []span
	for from := 0; from < *events; from += *window {
		spans = append(spans, span{from, min(from+*window, *events)})
	}
	filler := fillers()
	attempts, sent := 0, 0
	acked := make([]bool, *events)
	last := time.Now()
	for len(spans) > 0 {
		if time.Since(last) > *patience {
			log.Fatalf("nothing was acked for %v; %d windows are left", *patience, len(spans))
		}
		attempts++
		before := len(spans)
		var count int
		if *inflight == 0 {
			count, spans = attemptSync(spans, filler, acked)
		} else {
			count, spans = attemptAsync(spans, filler, acked)
		}
		sent += count
		if len(spans) < before {
			last = time.Now()
		}
		if len(spans) > 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	seconds := time.Since(started).Seconds()
	result := map[string]interface{}{"acked": *events, "sent": sent, "connections": attempts, "seconds": seconds}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

func options() []client.Option {
	return []client.Option{client.CompressionLevel(*compression), client.Timeout(30 * time.Second)}
}

func payload(part span, filler string) []interface{} {
	data := make([]interface{}, 0, part.to-part.from)
	for number := part.from; number < part.to; number++ {
		data = append(data, event(number, filler))
	}
	return data
}

// One connection of the synchronous client: how many events it has sent, and what is left to send.
func attemptSync(spans []span, filler string, acked []bool) (int, []span) {
	cl, err := client.SyncDial(*to, options()...)
	if err != nil {
		return 0, spans
	}
	defer cl.Close()
	sent := 0
	for len(spans) > 0 {
		data := payload(spans[0], filler)
		sent += len(data)
		count, err := cl.Send(data)
		for number := spans[0].from; number < spans[0].from+count; number++ {
			acked[number] = true
		}
		if err != nil {
			log.Printf("after %d acked events of %d: %v", count, len(data), err)
			spans[0].from += count
			return sent, spans
		}
		spans = spans[1:]
	}
	return sent, nil
}

// The same of the asynchronous one, which has several windows under way.
func attemptAsync(spans []span, filler string, acked []bool) (int, []span) {
	cl, err := client.AsyncDial(*to, *inflight, options()...)
	if err != nil {
		return 0, spans
	}
	var lock sync.Mutex
	var waiting sync.WaitGroup
	var left []span
	sent, failed := 0, false
	for at, part := range spans {
		lock.Lock()
		stop := failed
		lock.Unlock()
		if stop {
			lock.Lock()
			left = append(left, spans[at:]...)
			lock.Unlock()
			break
		}
		data := payload(part, filler)
		sent += len(data)
		waiting.Add(1)
		// The callback is called also where sending fails.
		_ = cl.Send(func(count uint32, err error) {
			defer waiting.Done()
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				failed = true
				left = append(left, part)
				return
			}
			for number := part.from; number < part.from+int(count); number++ {
				acked[number] = true
			}
		}, data)
	}
	waiting.Wait()
	_ = cl.Close()
	return sent, left
}

func checkFile() {
	file, err := os.Open(*check)
	if err != nil {
		log.Fatal(err)
	}
	// The ids that the relay has given to what came with each number.
	seen := make([][]string, *events)
	strangers, halves, repeated := 0, 0, 0
	reader := bufio.NewReaderSize(file, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			break
		}
		document := struct {
			Number *int   `json:"number"`
			ID     string `json:"event.id"`
		}{}
		if !json.Valid(line) {
			halves++
			continue
		}
		if json.Unmarshal(line, &document) != nil || document.Number == nil || *document.Number >= *events {
			strangers++
			continue
		}
		ids := &seen[*document.Number]
		if slices.Contains(*ids, document.ID) {
			repeated++
			continue
		}
		*ids = append(*ids, document.ID)
	}
	missing, doubled := 0, 0
	for _, ids := range seen {
		if len(ids) == 0 {
			missing++
		} else {
			doubled += len(ids) - 1
		}
	}
	fmt.Printf("{\"missing\":%d,\"doubled\":%d,\"repeated\":%d,\"halves\":%d,\"strangers\":%d}\n", missing, doubled, repeated, halves, strangers)
	if missing > 0 || strangers > 0 || halves > *mostHalves || doubled > *mostDoubled {
		os.Exit(1)
	}
}

func serveEvents() {
	s, err := server.ListenAndServe(*serve, server.V2(true))
	if err != nil {
		log.Fatal(err)
	}
	for batch := range s.ReceiveChan() {
		batch.ACK()
	}
}
