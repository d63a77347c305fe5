// An app in Go over the local websocket of a client; nothing but the standard library.
//
//	npx mixwright client run --id alice
//	go run examples/websocket-app/main.go ws://127.0.0.1:1977
//
// It asks for the client's address, sends a message to it with reply blocks, answers that message without knowing where it
// came from, and prints what came. The websocket speaks the protocol of nym-client, so this runs with that too.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"strings"
)

// A request or an answer; what does not belong to its type stays empty.
type message struct {
	Type       string `json:"type"`
	Address    string `json:"address,omitempty"`
	Recipient  string `json:"recipient,omitempty"`
	Message    string `json:"message,omitempty"`
	ReplySurbs int    `json:"replySurbs,omitempty"`
	SenderTag  string `json:"senderTag,omitempty"`
}

func main() {
	log.SetFlags(0)
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: go run examples/websocket-app/main.go [URL, default: ws://127.0.0.1:1977]")
	}
	flag.Parse()
	address := "ws://127.0.0.1:1977"
	if flag.NArg() > 0 {
		address = flag.Arg(0)
	}
	client, err := dial(address)
	if err == nil {
		err = talk(client)
	}
	if err != nil {
		// A client talks to one app at a time, and hangs up on the next.
		log.Fatalf("%s: %v; does a client run there, and no other app?", address, err)
	}
}

func talk(client *webSocket) error {
	client.send(message{Type: "selfAddress"})
	self, err := client.receive("selfAddress")
	if err != nil {
		return err
	}
	fmt.Println("address:", self.Address)

	client.send(message{Type: "sendAnonymous", Recipient: self.Address, Message: "hello from Go", ReplySurbs: 5})
	question, err := client.receive("received")
	if err != nil {
		return err
	}
	fmt.Println("received:", question.Message)

	client.send(message{Type: "reply", SenderTag: question.SenderTag, Message: "hello yourself"})
	answer, err := client.receive("received")
	if err != nil {
		return err
	}
	fmt.Println("answer:", answer.Message)
	return nil
}

// As much of RFC 6455 as talking JSON to a server on this machine needs.
type webSocket struct {
	connection net.Conn
	reader     *bufio.Reader
}

func dial(address string) (*webSocket, error) {
	where, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	connection, err := net.Dial("tcp", where.Host)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 16)
	rand.Read(key)
	fmt.Fprintf(connection, "GET /%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
		strings.TrimPrefix(where.RequestURI(), "/"), where.Host, base64.StdEncoding.EncodeToString(key))
	reader := bufio.NewReader(connection)
	status, err := reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		return nil, fmt.Errorf("this is no websocket: %s", strings.TrimSpace(status))
	}
	for line := status; line != "\r\n"; {
		if line, err = reader.ReadString('\n'); err != nil {
			return nil, err
		}
	}
	return &webSocket{connection, reader}, nil
}

// The next message of a kind; waits for it. An error is an answer too.
func (socket *webSocket) receive(kind string) (message, error) {
	for {
		data, err := socket.readMessage()
		if err != nil {
			return message{}, err
		}
		var answer message
		if err := json.Unmarshal(data, &answer); err != nil {
			return answer, err
		}
		if answer.Type == "error" {
			return answer, errors.New(answer.Message)
		}
		if answer.Type == kind {
			return answer, nil
		}
	}
}

// A failed write is told by the next read.
func (socket *webSocket) send(request message) {
	data, _ := json.Marshal(request)
	socket.writeFrame(0x1, data)
}

func (socket *webSocket) readMessage() ([]byte, error) {
	var data []byte
	for {
		var head [2]byte
		if _, err := io.ReadFull(socket.reader, head[:]); err != nil {
			return nil, err
		}
		length := uint64(head[1] & 0x7f)
		if extra := map[uint64]int{126: 2, 127: 8}[length]; extra > 0 {
			var long [8]byte
			if _, err := io.ReadFull(socket.reader, long[8-extra:]); err != nil {
				return nil, err
			}
			length = binary.BigEndian.Uint64(long[:])
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(socket.reader, payload); err != nil {
			return nil, err
		}
		switch head[0] & 0x0f {
		case 0x0, 0x1:
			data = append(data, payload...)
			if head[0]&0x80 != 0 {
				return data, nil
			}
		case 0x8:
			return nil, io.EOF
		case 0x9:
			socket.writeFrame(0xa, payload)
		}
	}
}

func (socket *webSocket) writeFrame(opcode byte, payload []byte) {
	frame := []byte{0x80 | opcode}
	switch length := len(payload); {
	case length < 126:
		frame = append(frame, 0x80|byte(length))
	case length < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(length))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(length))
	}
	mask := make([]byte, 4)
	rand.Read(mask)
	frame = append(frame, mask...)
	for i, value := range payload {
		frame = append(frame, value^mask[i%4])
	}
	socket.connection.Write(frame)
}
