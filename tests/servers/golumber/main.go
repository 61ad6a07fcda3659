// Golumber receives events with the reference library of the Lumberjack protocol, as others' servers do, and says whether all came.
//
// As a server it writes each event as it came to a file, a line each, and acks a batch when that has taken it; with -late batches are
// acked by others, some time later. In front of itself it can put a proxy that cuts connections after so many bytes, each way of a
// connection at a place that a seed decides. With -feed it sends numbered lines of JSON to a relay instead, and with -check it reads the
// file and says how many numbers are missing, are there under several ids, or came again under the same one.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/go-lumber/server"
)

var (
	listen = flag.String("listen", "127.0.0.1:5044", "where to take connections")
	out    = flag.String("out", "", "the file of events; none: they are thrown away")
	late   = flag.Duration("late", 0, "the longest time until a batch is acked by another goroutine; 0: it is acked where it is received")
	cuts   = flag.Int("cuts", 0, "connections to cut before the proxy lets all pass; 0: no proxy")
	seed   = flag.Int64("seed", 1, "what decides where they are cut")
	least  = flag.Int("least", 1, "bytes that pass before a cut, at least")
	most   = flag.Int("most", 1<<20, "and at most")
	feed   = flag.String("feed", "", "a relay's source of lines to send events to instead")
	check  = flag.String("check", "", "a file of events to check instead")
	events = flag.Int("events", 100000, "how many events there are")
	size   = flag.Int("size", 300, "bytes of each event's text")
)

func main() {
	flag.Parse()
	switch {
	case *feed != "":
		send()
	case *check != "":
		checkFile()
	default:
		serve()
	}
}

// The text of an event: the same for the same number, and different for the next.
func text(number int) string {
	part := fmt.Sprintf("%08d GET /path/%d?query=%x 200 ", number, number%977, number*2654435761)
	return strings.Repeat(part, *size/len(part)+1)[:*size]
}

func send() {
	connection, err := net.Dial("tcp", *feed)
	if err != nil {
		log.Fatal(err)
	}
	writer := bufio.NewWriterSize(connection, 1<<18)
	for number := 0; number < *events; number++ {
		fmt.Fprintf(writer, "{\"number\":%d,\"text\":%q}\n", number, text(number))
	}
	if err := writer.Flush(); err != nil {
		log.Fatal(err)
	}
	// The relay ends the connection when it has read everything.
	_ = connection.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, connection)
}

func serve() {
	front, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	listener := front
	if *cuts > 0 {
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			log.Fatal(err)
		}
		go proxy(front, listener.Addr().String())
	}
	// Events are kept as they came.
	raw := func(bytes []byte, to interface{}) error {
		if !json.Valid(bytes) {
			return fmt.Errorf("no JSON: %q", bytes)
		}
		*to.(*interface{}) = append(json.RawMessage(nil), bytes...)
		return nil
	}
	s, err := server.NewWithListener(listener, server.V2(true), server.JSONDecoder(raw), server.Keepalive(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	var file *os.File
	if *out != "" {
		if file, err = os.OpenFile(*out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			log.Fatal(err)
		}
	}
	random := rand.New(rand.NewSource(*seed))
	var lines []byte
	for batch := range s.ReceiveChan() {
		if file != nil {
			lines = lines[:0]
			for _, event := range batch.Events {
				lines = append(append(lines, event.(json.RawMessage)...), '\n')
			}
			if _, err := file.Write(lines); err != nil {
				log.Fatal(err)
			}
		}
		if *late > 0 {
			time.AfterFunc(time.Duration(random.Int63n(int64(*late))), batch.ACK)
		} else {
			batch.ACK()
		}
	}
}

// Takes connections and hands them on to another address, cutting as many as it is to.
func proxy(front net.Listener, to string) {
	random := rand.New(rand.NewSource(*seed))
	for number := 1; ; number++ {
		outer, err := front.Accept()
		if err != nil {
			log.Fatal(err)
		}
		inner, err := net.Dial("tcp", to)
		if err != nil {
			log.Fatal(err)
		}
		// Where a way ends: of events anywhere, of acks, which have six bytes, soon enough to be reached.
		forth, back := int64(-1), int64(-1)
		if number <= *cuts {
			forth = int64(*least + random.Intn(*most-*least+1))
			if number%3 == 0 {
				back = int64(random.Intn(60))
			}
			log.Printf("connection %d is cut after %d bytes, or %d of acks", number, forth, back)
		}
		go pass(outer.(*net.TCPConn), inner.(*net.TCPConn), forth, back, number%2 == 0)
	}
}

// Passes both ways on until one of them ends or has passed all that it may; below zero, it may pass everything.
func pass(outer, inner *net.TCPConn, forth, back int64, resets bool) {
	var once sync.Once
	var wasCut atomic.Bool
	end := func() {
		once.Do(func() {
			if wasCut.Load() && resets {
				_ = outer.SetLinger(0)
				_ = inner.SetLinger(0)
			}
			outer.Close()
			inner.Close()
		})
	}
	way := func(to, from *net.TCPConn, bytes int64) {
		if bytes < 0 {
			_, _ = io.Copy(to, from)
		} else if passed, _ := io.CopyN(to, from, bytes); passed == bytes {
			wasCut.Store(true)
		}
		end()
	}
	go way(inner, outer, forth)
	way(outer, inner, back)
}

func checkFile() {
	file, err := os.Open(*check)
	if err != nil {
		log.Fatal(err)
	}
	ids := make([]string, *events)
	seen := make(map[string]int, *events)
	strangers, doubled, copies, harmed, disorder, last := 0, 0, 0, 0, 0, -1
	reader := bufio.NewReaderSize(file, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			break
		}
		event := struct {
			Number *int   `json:"number"`
			Text   string `json:"text"`
			ID     string `json:"event.id"`
		}{}
		if json.Unmarshal(line, &event) != nil || event.Number == nil || *event.Number >= *events || event.ID == "" {
			strangers++
			continue
		}
		number := *event.Number
		if event.Text != text(number) {
			harmed++
		}
		if other, known := seen[event.ID]; known && other != number {
			strangers++
		}
		seen[event.ID] = number
		switch ids[number] {
		case "":
			ids[number] = event.ID
			// What comes for the first time comes in order.
			if number < last {
				disorder++
			}
			last = number
		case event.ID:
			copies++
		default:
			doubled++
		}
	}
	missing := 0
	for _, id := range ids {
		if id == "" {
			missing++
		}
	}
	format := "{\"missing\":%d,\"doubled\":%d,\"copies\":%d,\"harmed\":%d,\"strangers\":%d,\"disorder\":%d}\n"
	fmt.Printf(format, missing, doubled, copies, harmed, strangers, disorder)
	if missing+doubled+harmed+strangers > 0 {
		os.Exit(1)
	}
}
